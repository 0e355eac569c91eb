#include "pvh_loader.h"

#include <linux/kvm.h>

#include <algorithm>
#include <vector>

#include "memory_map.h"
#include "pvh_image.h"
#include "start_info.h"
#include "vmm/input_file.h"
#include "vmm/kvm.h"

namespace ensemble::vmm::arch {
namespace {

constexpr uint64_t kPageSize = 4096;
constexpr uint64_t kMappedModules = 0x10'0000'0000;
constexpr uint64_t kMappedModuleStep = 2ull * 1024 * 1024;

uint64_t align_up(uint64_t value, uint64_t step) {
  return (value + step - 1) / step * step;
}

bool overlaps(const PvhSegment& segment, uint64_t start, uint64_t end) {
  return segment.guest_address < end && start < segment.guest_address + segment.memory_size;
}

Result<void> place_segment(const GuestMemory& memory, const PvhSegment& segment) {
  const uint64_t end = segment.guest_address + segment.memory_size;
  if (overlaps(segment, kStartInfoAddress, kStartInfoEnd)) {
    return fail(
        "has segment {} at {:#x} to {:#x}, where the start information lies ({:#x} to {:#x})",
        segment.index, segment.guest_address, end, kStartInfoAddress, kStartInfoEnd);
  }
  if (overlaps(segment, kLegacyHoleStart, kLegacyHoleEnd)) {
    return fail("has segment {} at {:#x} to {:#x}, in the reserved range {:#x} to {:#x}",
                segment.index, segment.guest_address, end, kLegacyHoleStart, kLegacyHoleEnd);
  }
  auto target = memory.writable_span(segment.guest_address, segment.memory_size);
  if (!target) {
    return fail("has segment {} at {:#x} to {:#x}, outside of the machine's memory of {} MiB",
                segment.index, segment.guest_address, end, memory.size() >> 20);
  }
  // The rest reads as zero already, and touching it would only make it resident.
  std::ranges::copy(segment.contents, target->begin());
  return {};
}

// Copies modules into RAM, each after the one before.
class ModulePlacer {
 public:
  ModulePlacer(GuestMemory& memory, uint64_t kernel_end)
      : memory_(memory), next_copied_(align_up(std::max(kernel_end, kLegacyHoleEnd), kPageSize)) {}

  Result<PlacedModule> place(const BootModule& module) {
    if (module.placement == BootModule::Placement::kMapped) {
      return map(module);
    }
    if (module.path.empty()) {
      auto target = allocate(module.name, module.contents.size());
      if (!target) {
        return std::unexpected(target.error());
      }
      std::ranges::copy(module.contents, target->begin());
      return placed(module.name, target->size());
    }
    auto file = InputFile::open("module " + module.name, module.path);
    if (!file) {
      return std::unexpected(file.error());
    }
    auto target = allocate(file->label(), file->size());
    if (!target) {
      return std::unexpected(target.error());
    }
    if (auto done = file->read(*target); !done) {
      return std::unexpected(done.error());
    }
    return placed(module.name, target->size());
  }

 private:
  Result<PlacedModule> map(const BootModule& module) {
    auto file = InputFile::open("module " + module.name, module.path);
    if (!file) {
      return std::unexpected(file.error());
    }
    const uint64_t address = next_mapped_;
    if (auto mapped = memory_.map_file(file->label(), address, file->fd(), file->size()); !mapped) {
      return std::unexpected(mapped.error());
    }
    next_mapped_ = align_up(address + file->size(), kMappedModuleStep);
    return PlacedModule{module.name, address, file->size()};
  }

  Result<std::span<std::byte>> allocate(const std::string& label, uint64_t size) {
    if (size == 0) {
      return fail("{} is empty", label);
    }
    auto target = memory_.writable_span(next_copied_, size);
    if (!target) {
      return fail("{} with {} bytes does not fit into the machine's memory of {} MiB at {:#x}",
                  label, size, memory_.size() >> 20, next_copied_);
    }
    return target;
  }

  PlacedModule placed(const std::string& name, uint64_t size) {
    const uint64_t address = next_copied_;
    next_copied_ = align_up(address + size, kPageSize);
    return PlacedModule{name, address, size};
  }

  GuestMemory& memory_;
  uint64_t next_copied_;
  uint64_t next_mapped_ = kMappedModules;
};

// The flat segments of the PVH ABI.
kvm_segment flat_segment(uint8_t type, uint16_t selector) {
  kvm_segment segment = {};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = type;
  segment.present = 1;
  segment.db = 1;
  segment.s = 1;
  segment.g = 1;
  return segment;
}

}  // namespace

Result<PlacedKernel> place_pvh_kernel(GuestMemory& memory, std::span<const std::byte> file) {
  auto image = parse_pvh_image(file);
  if (!image) {
    return std::unexpected(image.error());
  }
  PlacedKernel kernel{.entry = image->entry, .is_linux = image->is_linux};
  for (const PvhSegment& segment : image->segments) {
    if (auto placed = place_segment(memory, segment); !placed) {
      return std::unexpected(placed.error());
    }
    kernel.end = std::max(kernel.end, segment.guest_address + segment.memory_size);
  }
  return kernel;
}

Result<PvhEntry> load_pvh(GuestMemory& memory, const BootSource& source, const KernelFile& file) {
  if (auto checked = check_boot_source(source); !checked) {
    return std::unexpected(checked.error());
  }
  auto kernel = place_pvh_kernel(memory, file.contents);
  if (!kernel) {
    return fail("{} {}", file.label, kernel.error().message());
  }
  std::vector<PlacedModule> modules;
  ModulePlacer placer(memory, kernel->end);
  for (const BootModule& module : source.modules) {
    auto placed = placer.place(module);
    if (!placed) {
      return std::unexpected(placed.error());
    }
    modules.push_back(std::move(*placed));
  }
  const uint64_t rsdp_address = source.acpi.contents.empty() ? 0 : source.acpi.address;
  if (auto written = write_start_info(memory, source.command_line, modules, rsdp_address);
      !written) {
    return std::unexpected(written.error());
  }
  return PvhEntry{
      .entry = kernel->entry, .start_info = kStartInfoAddress, .is_linux = kernel->is_linux};
}

Result<void> enter_pvh(int vcpu_fd, const PvhEntry& entry) {
  constexpr uint8_t kCodeType = 0xb;  // Execute, read, accessed.
  constexpr uint8_t kDataType = 0x3;  // Read, write, accessed.
  constexpr uint8_t kBusyTss32 = 0xb;
  constexpr uint64_t kProtectionEnable = 1;
  constexpr uint64_t kExtensionType = 1 << 4;  // Always 1 on CPUs of today.

  kvm_sregs sregs = {};
  if (auto got = kvm_ioctl(vcpu_fd, KVM_GET_SREGS, &sregs, "cannot read vCPU 0's segments"); !got) {
    return std::unexpected(got.error());
  }
  sregs.cs = flat_segment(kCodeType, 0x08);
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat_segment(kDataType, 0x10);
  sregs.tr = {};
  sregs.tr.limit = 0x67;
  sregs.tr.selector = 0x18;
  sregs.tr.type = kBusyTss32;
  sregs.tr.present = 1;
  sregs.cr0 = kProtectionEnable | kExtensionType;
  sregs.cr4 = 0;
  sregs.efer = 0;
  if (auto set = kvm_ioctl(vcpu_fd, KVM_SET_SREGS, &sregs, "cannot set vCPU 0's segments"); !set) {
    return std::unexpected(set.error());
  }
  kvm_regs regs = {};
  regs.rip = entry.entry;
  regs.rbx = entry.start_info;
  regs.rflags = 2;  // The bit that is always 1.
  if (auto set = kvm_ioctl(vcpu_fd, KVM_SET_REGS, &regs, "cannot set vCPU 0's registers"); !set) {
    return std::unexpected(set.error());
  }
  return {};
}

}  // namespace ensemble::vmm::arch
