#include "guest-kernel/nucleus/boot_modules.h"

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/nucleus/kernel_memory.h"
#include "guest-kernel/nucleus/panic.h"

extern "C" char kernel_end[];  // nucleus.ld

namespace nucleus {
namespace {

using abi::kPageSize;

// Xen's public/arch-x86/hvm/start_info.h, version 1.
struct StartInfo {
  std::uint32_t magic;
  std::uint32_t version;
  std::uint32_t flags;
  std::uint32_t module_count;
  std::uint64_t modules;
  std::uint64_t command_line;
  std::uint64_t rsdp;
  std::uint64_t memory_map;
  std::uint32_t memory_map_entries;
  std::uint32_t reserved;
};

struct ModuleEntry {
  std::uint64_t address;
  std::uint64_t size;
  std::uint64_t name;
  std::uint64_t reserved;
};

struct MemoryMapEntry {
  std::uint64_t address;
  std::uint64_t size;
  std::uint32_t type;
  std::uint32_t reserved;
};

constexpr std::uint32_t kMagic = 0x336e'c578;
constexpr std::uint32_t kMemoryMapVersion = 1;
constexpr std::uint32_t kRam = 1;
constexpr std::uint64_t kKernelBase = 0xffff'ffff'8000'0000;
constexpr std::uint64_t kKernelStart = 0x10'0000;
constexpr std::uint64_t kFourGiB = std::uint64_t{1} << 32;

std::uint64_t page_up(std::uint64_t value) {
  return (value + kPageSize - 1) & ~(kPageSize - 1);
}

// The larger side of what [start, start + size) leaves of the free range.
void exclude(BootModules& boot, std::uint64_t start, std::uint64_t size) {
  const std::uint64_t end = page_up(start + size);
  if (size == 0 || end <= boot.free_start || start >= boot.free_end) {
    return;
  }
  const std::uint64_t below = start > boot.free_start ? start - boot.free_start : 0;
  const std::uint64_t above = end < boot.free_end ? boot.free_end - end : 0;
  if (above >= below) {
    boot.free_start = end;
  } else {
    boot.free_end = start & ~(kPageSize - 1);
  }
}

abi::BootModule* module_slot(BootModules& boot, const ModuleEntry& entry) {
  switch (entry.name != 0 ? *physical_pointer<const char>(entry.name) : 0) {
    case 'm':
      return &boot.manifest;
    case 'r':
      return &boot.root;
    default:  // `boot`, or the only module of a loader that names none
      return &boot.package;
  }
}

}  // namespace

BootModules find_boot_modules(std::uint64_t start_info) {
  const auto& start = *physical_pointer<const StartInfo>(start_info);
  if (start.magic != kMagic || start.version < kMemoryMapVersion) {
    panic("no PVH start info with a memory map: magic, version", start.magic, start.version);
  }
  BootModules boot{};
  boot.command_line = start.command_line;
  const auto* map = physical_pointer<const MemoryMapEntry>(start.memory_map);
  for (std::uint32_t i = 0; i < start.memory_map_entries; ++i) {
    const MemoryMapEntry& entry = map[i];
    if (entry.type != kRam) {
      continue;
    }
    boot.total_memory += entry.size;
    if (entry.address <= kKernelStart && entry.address + entry.size > kKernelStart) {
      boot.free_start = reinterpret_cast<std::uint64_t>(kernel_end) - kKernelBase;
      boot.free_end = entry.address + entry.size;
    } else if (entry.address >= kFourGiB && boot.high_size == 0) {
      boot.high_base = entry.address;
      boot.high_size = entry.size;
    }
  }
  const auto* modules = physical_pointer<const ModuleEntry>(start.modules);
  for (std::uint32_t i = 0; i < start.module_count; ++i) {
    *module_slot(boot, modules[i]) = {modules[i].address, modules[i].size};
  }
  if (boot.package.size == 0 || boot.package.address % kPageSize != 0) {
    panic("no boot package on a page boundary: address, size", boot.package.address,
          boot.package.size);
  }
  if ((boot.manifest.address | boot.root.address) % kPageSize != 0) {
    panic("a module is not on a page boundary: manifest, root", boot.manifest.address,
          boot.root.address);
  }
  exclude(boot, boot.package.address, boot.package.size);
  exclude(boot, boot.manifest.address, boot.manifest.size);
  exclude(boot, boot.root.address, boot.root.size);
  return boot;
}

}  // namespace nucleus
