#pragma once

#include <cstdint>

#include "guest-kernel/abi/boot_info.h"

namespace nucleus {

// What the loader handed over (PVH start info), and where free memory is. Addresses are physical.
struct BootModules {
  abi::BootModule package;
  abi::BootModule manifest;
  abi::BootModule root;
  std::uint64_t command_line;  // 0: none
  std::uint64_t free_start;    // page-aligned, below 4 GiB: the largest gap that nothing occupies
  std::uint64_t free_end;
  std::uint64_t high_base;  // RAM above 4 GiB
  std::uint64_t high_size;
  std::uint64_t total_memory;
};

// Panics on what is no PVH start info, or has no boot package.
BootModules find_boot_modules(std::uint64_t start_info);

}  // namespace nucleus
