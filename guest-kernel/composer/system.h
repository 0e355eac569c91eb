#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "guest-kernel/abi/boot_info.h"
#include "guest-kernel/composer/machine.h"
#include "guest-kernel/composer/memory.h"
#include "guest-kernel/composer/power.h"
#include "guest-kernel/lib/device_table.h"

namespace composer {

// What all parts of the composer share.
struct System {
  const abi::BootInfo* boot = nullptr;
  Machine machine;
  Memory memory;
  Power power{machine};
  std::span<const std::byte> archive;  // of the boot package, mapped; ends with its trailer
  std::uint64_t archive_offset = 0;    // in the boot package
  std::uint64_t tools_offset = 0;      // of the first native tool's entry in the archive
  std::uint64_t root_offset = 0;       // of the root file system in the boot package; 0: not there
  // A manifest that lies in the boot package: empty where there is none, and its offset there.
  std::span<const std::byte> packed_manifest;
  std::uint64_t manifest_offset = 0;
  Block device_table_block;
  guest::DeviceTable* device_table = nullptr;
};

}  // namespace composer
