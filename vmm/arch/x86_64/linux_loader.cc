#include "linux_loader.h"

#include <asm/bootparam.h>
#include <linux/kvm.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "memory_map.h"
#include "vmm/input_file.h"
#include "vmm/kvm.h"

namespace ensemble::vmm::arch {
namespace {

constexpr uint64_t kBootParams = 0x6000;
constexpr uint64_t kDescriptors = 0x7000;
constexpr uint64_t kCommandLine = 0x7100;
constexpr uint64_t kCommandLineEnd = 0x8000;
constexpr uint64_t kPageTables = 0x9000;
constexpr uint64_t kPageSize = 4096;
constexpr uint64_t kRamdiskCeiling = 0x1'0000'0000;

// Selectors that the boot protocol fixes.
constexpr uint16_t kCodeSelector = 0x10;
constexpr uint16_t kDataSelector = 0x18;
constexpr uint8_t kCodeType = 0xb;  // Execute, read, accessed.
constexpr uint8_t kDataType = 0x3;  // Read, write, accessed.

struct Range {
  uint64_t address = 0;
  uint64_t size = 0;
};

// Where a RAM disk of `size` bytes goes: as high as kernel and memory allow.
Result<uint64_t> find_ramdisk_place(const GuestMemory& memory, const LinuxImage& image,
                                    const std::string& label, uint64_t size) {
  const uint64_t ceiling = std::min(image.ramdisk_end, kRamdiskCeiling);
  uint64_t best = 0;
  for (const MapRange& range : memory_map(memory)) {
    if (range.kind != RangeKind::kRam) {
      continue;
    }
    const uint64_t start = std::max({range.address, image.address + image.memory_size});
    const uint64_t end = std::min(range.address + range.size, ceiling);
    if (start < end && size <= end - start) {
      const uint64_t place = (end - size) / kPageSize * kPageSize;
      best = place >= start ? std::max(best, place) : best;
    }
  }
  if (best == 0) {
    return fail(
        "{} with {} bytes does not fit into the machine's memory of {} MiB beside the "
        "kernel, which needs {} MiB at {:#x}",
        label, size, memory.size() >> 20, (image.memory_size + 0xfffff) >> 20, image.address);
  }
  return best;
}

Result<Range> place_contents(const GuestMemory& memory, const LinuxImage& image,
                             const BootModule& module) {
  auto place = find_ramdisk_place(memory, image, "module " + module.name, module.contents.size());
  if (!place) {
    return std::unexpected(place.error());
  }
  if (auto written = memory.write(*place, module.contents); !written) {
    return std::unexpected(written.error());
  }
  return Range{*place, module.contents.size()};
}

Result<Range> place_ramdisk(const GuestMemory& memory, const LinuxImage& image,
                            const BootModule& module) {
  if (module.path.empty()) {
    return place_contents(memory, image, module);
  }
  auto file = InputFile::open("initial RAM disk", module.path);
  if (!file) {
    return std::unexpected(file.error());
  }
  if (file->size() == 0) {
    return fail("{} is empty", file->label());
  }
  auto place = find_ramdisk_place(memory, image, file->label(), file->size());
  if (!place) {
    return std::unexpected(place.error());
  }
  auto target = memory.writable_span(*place, file->size());
  if (!target) {
    return std::unexpected(target.error());
  }
  if (auto read = file->read(*target); !read) {
    return std::unexpected(read.error());
  }
  return Range{*place, file->size()};
}

Result<void> write_command_line(const GuestMemory& memory, const LinuxImage& image,
                                const KernelFile& kernel, const std::string& text) {
  if (text.size() > image.command_line_limit || text.size() >= kCommandLineEnd - kCommandLine) {
    return fail("the kernel command line has {} bytes; {} takes {} at most", text.size(),
                kernel.label, image.command_line_limit);
  }
  return memory.write(kCommandLine, std::as_bytes(std::span(text.c_str(), text.size() + 1)));
}

Result<void> write_boot_params(const GuestMemory& memory, const LinuxImage& image,
                               const Range& ramdisk, uint64_t rsdp_address) {
  constexpr uint8_t kUnknownLoader = 0xff;
  boot_params params = {};
  std::memcpy(&params.hdr, image.setup_header.data(), image.setup_header.size());
  params.hdr.type_of_loader = kUnknownLoader;
  params.hdr.cmd_line_ptr = static_cast<uint32_t>(kCommandLine);
  params.hdr.ramdisk_image = static_cast<uint32_t>(ramdisk.address);
  params.hdr.ramdisk_size = static_cast<uint32_t>(ramdisk.size);
  params.hdr.code32_start = static_cast<uint32_t>(image.address);
  params.acpi_rsdp_addr = rsdp_address;
  for (const MapRange& range : memory_map(memory)) {
    if (params.e820_entries == E820_MAX_ENTRIES_ZEROPAGE) {
      return fail("the memory map has more than {} ranges", E820_MAX_ENTRIES_ZEROPAGE);
    }
    boot_e820_entry& entry = params.e820_table[params.e820_entries++];
    entry.addr = range.address;
    entry.size = range.size;
    entry.type = static_cast<uint32_t>(range.kind);
  }
  return memory.store(kBootParams, params);
}

// Four levels with pages of 2 MiB, the tables one after another.
Result<void> write_page_tables(const GuestMemory& memory) {
  constexpr uint64_t kPresentWritable = 3;
  constexpr uint64_t kLargePage = 1 << 7;
  constexpr uint64_t kLargePageSize = 2ull << 20;
  constexpr size_t kDirectories = 4;
  constexpr size_t kEntries = 512;
  std::vector<uint64_t> tables((2 + kDirectories) * kEntries);
  tables[0] = (kPageTables + kPageSize) | kPresentWritable;
  for (size_t i = 0; i < kDirectories; ++i) {
    tables[kEntries + i] = (kPageTables + (2 + i) * kPageSize) | kPresentWritable;
  }
  for (size_t i = 0; i < kDirectories * kEntries; ++i) {
    tables[2 * kEntries + i] = i * kLargePageSize | kPresentWritable | kLargePage;
  }
  return memory.write(kPageTables, std::as_bytes(std::span(tables)));
}

// The descriptors of the two selectors above; the first two are unused.
Result<void> write_descriptors(const GuestMemory& memory) {
  constexpr std::array<uint64_t, 4> kTable = {0, 0, 0x00af'9b00'0000'ffff, 0x00cf'9300'0000'ffff};
  return memory.store(kDescriptors, kTable);
}

kvm_segment flat_segment(uint8_t type, uint16_t selector, bool is_code) {
  kvm_segment segment = {};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = type;
  segment.present = 1;
  segment.db = is_code ? 0 : 1;
  segment.l = is_code ? 1 : 0;
  segment.s = 1;
  segment.g = 1;
  return segment;
}

}  // namespace

Result<LinuxImage> place_linux_kernel(GuestMemory& memory, std::span<const std::byte> file) {
  auto image = parse_linux_image(file);
  if (!image) {
    return image;
  }
  auto target = memory.writable_span(image->address, image->memory_size);
  if (!target) {
    return fail("needs {} MiB of memory at {:#x}, more than the machine's {} MiB",
                (image->memory_size + 0xfffff) >> 20, image->address, memory.size() >> 20);
  }
  std::ranges::copy(image->kernel, target->begin());
  return image;
}

Result<LinuxEntry> load_linux(GuestMemory& memory, const BootSource& source,
                              const KernelFile& kernel) {
  if (auto checked = check_boot_source(source); !checked) {
    return std::unexpected(checked.error());
  }
  const auto image = place_linux_kernel(memory, kernel.contents);
  if (!image) {
    return fail("{} {}", kernel.label, image.error().message());
  }
  if (source.modules.size() > 1) {
    return fail("{} is Linux, which takes one module, its initial RAM disk; there are {}",
                kernel.label, source.modules.size());
  }
  Range ramdisk;
  if (!source.modules.empty()) {
    auto placed = place_ramdisk(memory, *image, source.modules.front());
    if (!placed) {
      return std::unexpected(placed.error());
    }
    ramdisk = *placed;
  }
  const uint64_t rsdp_address = source.acpi.contents.empty() ? 0 : source.acpi.address;
  auto done = write_command_line(memory, *image, kernel, source.command_line);
  if (done) {
    done = write_boot_params(memory, *image, ramdisk, rsdp_address);
  }
  if (done) {
    done = write_page_tables(memory);
  }
  if (done) {
    done = write_descriptors(memory);
  }
  if (!done) {
    return std::unexpected(done.error());
  }
  return LinuxEntry{.entry = image->address + kLinuxEntry,
                    .boot_params = kBootParams,
                    .page_tables = kPageTables,
                    .descriptors = kDescriptors};
}

Result<void> enter_linux(int vcpu_fd, const LinuxEntry& entry) {
  constexpr uint64_t kPagingProtection = 1ull << 31 | 1;
  constexpr uint64_t kExtensionType = 1 << 4;  // Always 1 on CPUs of today.
  constexpr uint64_t kPhysicalAddressExtension = 1 << 5;
  constexpr uint64_t kLongModeActive = 1 << 10 | 1 << 8;
  constexpr uint16_t kDescriptorLimit = 4 * 8 - 1;

  kvm_sregs sregs = {};
  if (auto got = kvm_ioctl(vcpu_fd, KVM_GET_SREGS, &sregs, "cannot read vCPU 0's segments"); !got) {
    return std::unexpected(got.error());
  }
  sregs.cs = flat_segment(kCodeType, kCodeSelector, true);
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss =
      flat_segment(kDataType, kDataSelector, false);
  sregs.gdt.base = entry.descriptors;
  sregs.gdt.limit = kDescriptorLimit;
  sregs.cr0 = kPagingProtection | kExtensionType;
  sregs.cr3 = entry.page_tables;
  sregs.cr4 = kPhysicalAddressExtension;
  sregs.efer = kLongModeActive;
  if (auto set = kvm_ioctl(vcpu_fd, KVM_SET_SREGS, &sregs, "cannot set vCPU 0's segments"); !set) {
    return std::unexpected(set.error());
  }
  kvm_regs regs = {};
  regs.rip = entry.entry;
  regs.rsi = entry.boot_params;
  regs.rflags = 2;  // The bit that is always 1.
  if (auto set = kvm_ioctl(vcpu_fd, KVM_SET_REGS, &regs, "cannot set vCPU 0's registers"); !set) {
    return std::unexpected(set.error());
  }
  return {};
}

}  // namespace ensemble::vmm::arch
