#pragma once

#include "guest-kernel/linux/server/address_space.h"
#include "guest-kernel/linux/shim/layout.h"

namespace linux_server {

// The shim's code, which all Linux processes share.
const shim::CodeHeader& shim_code();
// Maps it into a process. ENOMEM.
Result<void> map_shim(AddressSpace& space);

}  // namespace linux_server
