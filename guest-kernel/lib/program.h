#pragma once

#include "guest-kernel/lib/start_info.h"

// A program's entry in C++, called by crt0 on the stack that its linker script sets aside.
// Returning ends the thread.
extern "C" void program_main(guest::StartInfo& info);
