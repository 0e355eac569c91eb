// The guest's readers of files that a user brings: newc archives and ELF programs.

#include <cstddef>
#include <cstdint>
#include <span>

#include "guest-kernel/lib/cpio.cc"  // NOLINT(bugprone-suspicious-include): one file is one target
#include "guest-kernel/lib/elf.cc"   // NOLINT(bugprone-suspicious-include)

namespace {

// Reads every byte, so that a sanitizer sees one outside the input.
unsigned sum(std::span<const std::byte> bytes) {
  unsigned total = 0;
  for (const std::byte byte : bytes) {
    total += static_cast<unsigned>(byte);
  }
  return total;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  volatile unsigned total = 0;
  guest::CpioReader reader(input);
  while (const auto entry = reader.next()) {
    total = total + sum(entry->content) + static_cast<unsigned>(entry->name.size());
  }
  if (reader.position() > size) {
    __builtin_trap();
  }
  constexpr std::uint64_t kLimit = 1 << 24;
  if (const auto image = guest::ElfImage::parse(input, kLimit)) {
    for (const guest::ElfSegment& segment : image->segments()) {
      total = total + sum(input.subspan(segment.file_offset, segment.file_size));
    }
    if (image->end() > kLimit + 4096 || image->start() >= image->end()) {
      __builtin_trap();
    }
    total = total + sum(image->note("Ensemble", 1));
    total = total + static_cast<unsigned>(image->interpreter().size());
  }
  return 0;
}
