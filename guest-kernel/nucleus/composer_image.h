#pragma once

#include <cstdint>

#include "guest-kernel/abi/boot_info.h"
#include "guest-kernel/nucleus/domain.h"

namespace nucleus {

struct ComposerImage {
  std::uint64_t entry;
  std::uint64_t size;  // of the ELF in the boot package, rounded up to pages
};

// Maps the composer's ELF segments in place from the boot package (which is RAM), its stack, and
// the page of boot information. Zero pages are taken from physical `memory`, which advances. Panics
// on an ELF that cannot be mapped so.
ComposerImage map_composer(Domain& composer, const abi::BootModule& package,
                           const abi::BootInfo* info, std::uint64_t& memory);

}  // namespace nucleus
