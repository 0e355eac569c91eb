#pragma once

// GoogleTest and libstdc++ have a namespace alias `abi` of their own. Included after theirs and
// before any header of the guest's, in every source of a test.
#define abi guest_abi
