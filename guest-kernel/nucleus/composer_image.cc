#include "guest-kernel/nucleus/composer_image.h"

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/nucleus/kernel_memory.h"
#include "guest-kernel/nucleus/panic.h"
#include "page_table.h"

namespace nucleus {
namespace {

using abi::kPageSize;

struct ElfHeader {
  std::uint8_t identification[16];
  std::uint16_t type, machine;
  std::uint32_t version;
  std::uint64_t entry, program_headers, section_headers;
  std::uint32_t flags;
  std::uint16_t size, program_header_size, program_header_count;
  std::uint16_t section_header_size, section_header_count, string_section;
};

struct ProgramHeader {
  std::uint32_t type, flags;
  std::uint64_t offset, virtual_address, physical_address, file_size, memory_size, alignment;
};

constexpr std::uint32_t kElfMagic = 0x464c'457f;
constexpr std::uint32_t kLoad = 1;

std::uint64_t page_up(std::uint64_t value) {
  return (value + kPageSize - 1) & ~(kPageSize - 1);
}

void map(Domain& domain, std::uint64_t address, std::uint64_t physical, std::uint64_t size,
         std::uint64_t rights) {
  bool changed = false;
  if (map_range(domain, address, physical, size,
                {.rights = rights, .maximum = rights, .device = false},
                changed) != abi::Status::kOk) {
    panic("no memory to map the composer: address, size", address, size);
  }
}

// ELF's PF_X, PF_W, PF_R are 1, 2, 4.
std::uint64_t segment_rights(std::uint32_t flags) {
  return ((flags & 4) != 0 ? abi::kRightRead : 0) | ((flags & 2) != 0 ? abi::kRightWrite : 0) |
         ((flags & 1) != 0 ? abi::kRightExecute : 0);
}

void map_segment(Domain& composer, const abi::BootModule& package, const ProgramHeader& segment,
                 std::uint64_t& memory) {
  const std::uint64_t in_page = segment.virtual_address & (kPageSize - 1);
  if (segment.file_size > segment.memory_size || segment.offset > package.size ||
      segment.file_size > package.size - segment.offset ||
      (segment.file_size != 0 && (segment.offset & (kPageSize - 1)) != in_page)) {
    panic("the composer's segment cannot be mapped in place: address, offset",
          segment.virtual_address, segment.offset);
  }
  const std::uint64_t start = segment.virtual_address - in_page;
  const std::uint64_t file_end = page_up(in_page + segment.file_size);
  const std::uint64_t end = page_up(in_page + segment.memory_size);
  const std::uint64_t rights = segment_rights(segment.flags);
  if (segment.file_size != 0) {
    map(composer, start, package.address + segment.offset - in_page, file_end, rights);
  }
  const std::uint64_t zeroes_from = segment.file_size != 0 ? file_end : 0;
  if (end > zeroes_from) {
    map(composer, start + zeroes_from, memory, end - zeroes_from, rights);
    memory += end - zeroes_from;
  }
  if (segment.file_size != 0 && segment.memory_size > segment.file_size) {
    void* tail = physical_pointer(package.address + segment.offset + segment.file_size);
    std::uint64_t count = file_end - in_page - segment.file_size;
    asm volatile("rep stosb" : "+D"(tail), "+c"(count) : "a"(0) : "memory");
  }
}

}  // namespace

ComposerImage map_composer(Domain& composer, const abi::BootModule& package,
                           const abi::BootInfo* info, std::uint64_t& memory) {
  const auto& header = *physical_pointer<const ElfHeader>(package.address);
  if (*reinterpret_cast<const std::uint32_t*>(header.identification) != kElfMagic ||
      header.program_headers > package.size ||
      header.program_header_count * sizeof(ProgramHeader) > package.size - header.program_headers) {
    panic("the boot package does not start with the composer's ELF");
  }
  const auto* segments =
      physical_pointer<const ProgramHeader>(package.address + header.program_headers);
  ComposerImage image{.entry = header.entry, .size = 0};
  for (unsigned i = 0; i < header.program_header_count; ++i) {
    const ProgramHeader& segment = segments[i];
    if (segment.type != kLoad || segment.memory_size == 0) {
      continue;
    }
    map_segment(composer, package, segment, memory);
    if (segment.offset + segment.file_size > image.size) {
      image.size = segment.offset + segment.file_size;
    }
  }
  const std::uint64_t sections =
      header.section_headers + header.section_header_count * std::uint64_t{64};
  image.size = page_up(sections > image.size && sections <= package.size ? sections : image.size);
  map(composer, abi::kComposerStackTop - abi::kComposerStackSize, memory, abi::kComposerStackSize,
      abi::kRightRead | abi::kRightWrite);
  memory += abi::kComposerStackSize;
  map(composer, abi::kComposerBootInfo, physical_address(info), kPageSize, abi::kRightRead);
  return image;
}

}  // namespace nucleus
