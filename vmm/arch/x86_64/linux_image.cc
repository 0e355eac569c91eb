#include "linux_image.h"

#include <asm/bootparam.h>

#include <algorithm>
#include <cstring>

namespace ensemble::vmm::arch {
namespace {

constexpr uint32_t kMagic = 0x53726448;  // "HdrS"
constexpr uint64_t kMagicOffset = kSetupHeader + offsetof(setup_header, header);
constexpr uint16_t kBootFlag = 0xaa55;
constexpr uint16_t kOldestProtocol = 0x20c;
constexpr uint64_t kSectorSize = 512;
constexpr uint64_t kParagraphSize = 16;
constexpr uint64_t kDefaultSetupSectors = 4;
constexpr uint64_t kLowestAddress = 0x100000;
// The header ends where the jump at its start leads.
constexpr uint64_t kJumpDistance = 0x201;
constexpr uint64_t kJumpEnd = 0x202;

Result<void> check_protocol(const setup_header& header) {
  if (header.boot_flag != kBootFlag) {
    return fail("has the boot flag {:#x} where {:#x} was expected", uint16_t{header.boot_flag},
                kBootFlag);
  }
  if (header.version < kOldestProtocol) {
    return fail("speaks version {}.{} of Linux's boot protocol; 2.{} or later is needed",
                header.version >> 8, header.version & 0xff, kOldestProtocol & 0xff);
  }
  if ((header.loadflags & LOADED_HIGH) == 0) {
    return fail("is a Linux kernel for memory below 1 MiB (zImage)");
  }
  if ((header.xloadflags & XLF_KERNEL_64) == 0) {
    return fail("is no 64-bit Linux kernel");
  }
  return {};
}

Result<void> check_place(const setup_header& header, uint64_t kernel_size) {
  if (kernel_size <= kLinuxEntry) {
    return fail("has a kernel of {} bytes, which ends before its entry at {:#x}", kernel_size,
                kLinuxEntry);
  }
  if (header.pref_address < kLowestAddress) {
    return fail("wants to lie at {:#x}, below 1 MiB", uint64_t{header.pref_address});
  }
  if (header.pref_address > UINT32_MAX) {
    return fail("wants to lie at {:#x}, above 4 GiB", uint64_t{header.pref_address});
  }
  if (header.init_size < kernel_size) {
    return fail("asks for {} bytes of memory, fewer than the {} of its kernel",
                uint32_t{header.init_size}, kernel_size);
  }
  return {};
}

}  // namespace

bool is_linux_image(std::span<const std::byte> file) {
  uint32_t magic = 0;
  if (file.size() < kMagicOffset + sizeof(magic)) {
    return false;
  }
  std::memcpy(&magic, file.data() + kMagicOffset, sizeof(magic));
  return magic == kMagic;
}

Result<LinuxImage> parse_linux_image(std::span<const std::byte> file) {
  if (!is_linux_image(file)) {
    return fail("is no Linux kernel image: it lacks \"HdrS\" at {:#x}", kMagicOffset);
  }
  setup_header header = {};
  if (file.size() < kSetupHeader + sizeof(header)) {
    return fail("is cut short: it has {} bytes, and its header alone has {}", file.size(),
                kSetupHeader + sizeof(header));
  }
  std::memcpy(&header, file.data() + kSetupHeader, sizeof(header));
  if (auto checked = check_protocol(header); !checked) {
    return std::unexpected(checked.error());
  }
  const uint64_t sectors = header.setup_sects == 0 ? kDefaultSetupSectors : header.setup_sects;
  const uint64_t setup_size = (sectors + 1) * kSectorSize;
  const uint64_t kernel_size = uint64_t{header.syssize} * kParagraphSize;
  if (setup_size > file.size() || kernel_size > file.size() - setup_size) {
    return fail("is cut short: it has {} of {} bytes", file.size(), setup_size + kernel_size);
  }
  if (auto checked = check_place(header, kernel_size); !checked) {
    return std::unexpected(checked.error());
  }
  const uint64_t header_end =
      std::min(kJumpEnd + std::to_integer<uint64_t>(file[kJumpDistance]), setup_size);
  return LinuxImage{.setup_header = file.subspan(kSetupHeader, std::min(header_end - kSetupHeader,
                                                                        uint64_t{sizeof(header)})),
                    .kernel = file.subspan(setup_size, kernel_size),
                    .address = header.pref_address,
                    .memory_size = header.init_size,
                    .ramdisk_end = uint64_t{header.initrd_addr_max} + 1,
                    .command_line_limit = header.cmdline_size};
}

}  // namespace ensemble::vmm::arch
