#pragma once

// What assembly and C++ both need. system_call.cc checks it against the ABI's headers.
#define SYSTEM_CALL_ENTRY 0x400000000000
