#include "pvh_image.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <optional>

namespace ensemble::vmm::arch {
namespace {

constexpr uint16_t kProgramHeaderLimit = 64;
constexpr uint32_t kPhys32EntryNote = 18;  // XEN_ELFNOTE_PHYS32_ENTRY.
constexpr uint32_t kGuestSystemNote = 6;   // XEN_ELFNOTE_GUEST_OS.
constexpr char kXenOwner[] = "Xen";
constexpr char kLinux[] = "linux";

// [offset, offset + size) of the file, or nothing if it is not all there.
std::optional<std::span<const std::byte>> part(std::span<const std::byte> file, uint64_t offset,
                                               uint64_t size) {
  if (offset > file.size() || size > file.size() - offset) {
    return std::nullopt;
  }
  return file.subspan(offset, size);
}

// Whether `bytes` are `text` with its NUL.
template <size_t kSize>
bool equals(std::span<const std::byte> bytes, const char (&text)[kSize]) {
  return bytes.size() == kSize && std::memcmp(bytes.data(), text, kSize) == 0;
}

template <typename T>
std::optional<T> object_at(std::span<const std::byte> file, uint64_t offset) {
  const auto bytes = part(file, offset, sizeof(T));
  if (!bytes) {
    return std::nullopt;
  }
  T value;
  std::memcpy(&value, bytes->data(), sizeof(T));
  return value;
}

Result<Elf64_Ehdr> read_header(std::span<const std::byte> file) {
  const auto header = object_at<Elf64_Ehdr>(file, 0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) {
    return fail("is no ELF file");
  }
  if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
      header->e_machine != EM_X86_64) {
    return fail("is no ELF for x86-64 (class {}, byte order {}, machine {})",
                header->e_ident[EI_CLASS], header->e_ident[EI_DATA], header->e_machine);
  }
  if (header->e_type != ET_EXEC && header->e_type != ET_DYN) {
    return fail("is no executable ELF: its type is {} where {} was expected", header->e_type,
                ET_EXEC);
  }
  if (header->e_phnum == 0 || header->e_phnum > kProgramHeaderLimit ||
      header->e_phentsize != sizeof(Elf64_Phdr)) {
    return fail("has {} program headers of {} bytes where 1 to {} of {} bytes were expected",
                header->e_phnum, header->e_phentsize, kProgramHeaderLimit, sizeof(Elf64_Phdr));
  }
  if (header->e_phoff > file.size() ||
      header->e_phnum * sizeof(Elf64_Phdr) > file.size() - header->e_phoff) {
    return fail("has its program headers at {:#x}, outside of the file of {} bytes",
                header->e_phoff, file.size());
  }
  return *header;
}

Result<PvhSegment> read_segment(std::span<const std::byte> file, unsigned index,
                                const Elf64_Phdr& header) {
  const auto contents = part(file, header.p_offset, header.p_filesz);
  if (!contents) {
    return fail("has segment {} at {:#x} with {} bytes, outside of the file of {} bytes", index,
                header.p_offset, header.p_filesz, file.size());
  }
  if (header.p_filesz > header.p_memsz) {
    return fail("has segment {} with {} bytes in the file, more than its {} bytes in memory", index,
                header.p_filesz, header.p_memsz);
  }
  if (header.p_memsz > UINT64_MAX - header.p_paddr) {
    return fail("has segment {} at {:#x} with {:#x} bytes, beyond the end of the address space",
                index, header.p_paddr, header.p_memsz);
  }
  return PvhSegment{.index = index,
                    .guest_address = header.p_paddr,
                    .contents = *contents,
                    .memory_size = header.p_memsz};
}

// Calls `handler` with the type and the contents of each note of Xen's.
template <typename Handler>
Result<void> for_each_xen_note(std::span<const std::byte> notes, unsigned index,
                               Handler&& handler) {
  const auto align = [](uint64_t size) { return (size + 3) & ~uint64_t{3}; };
  uint64_t position = 0;
  while (position < notes.size()) {
    const auto header = object_at<Elf64_Nhdr>(notes, position);
    if (!header) {
      return fail("has a note cut short in segment {}", index);
    }
    const uint64_t name_at = position + sizeof(Elf64_Nhdr);
    const uint64_t contents_at = name_at + align(header->n_namesz);
    const auto name = part(notes, name_at, header->n_namesz);
    const auto contents = part(notes, contents_at, header->n_descsz);
    if (!name || !contents) {
      return fail("has a note cut short in segment {}", index);
    }
    if (equals(*name, kXenOwner)) {
      if (auto handled = handler(header->n_type, *contents); !handled) {
        return handled;
      }
    }
    position = contents_at + align(header->n_descsz);
  }
  return {};
}

Result<uint32_t> read_entry(std::span<const std::byte> contents) {
  uint64_t entry = 0;
  if (contents.size() != sizeof(uint32_t) && contents.size() != sizeof(uint64_t)) {
    return fail("has an XEN_ELFNOTE_PHYS32_ENTRY note of {} bytes where 4 or 8 were expected",
                contents.size());
  }
  std::memcpy(&entry, contents.data(), contents.size());
  if (entry > UINT32_MAX) {
    return fail("has its PVH entry at {:#x}, above 4 GiB", entry);
  }
  return static_cast<uint32_t>(entry);
}

// What the notes of a segment tell: the entry, if none is known yet, and whose kernel it is.
Result<void> read_notes(std::span<const std::byte> notes, unsigned index,
                        std::optional<uint32_t>& entry, bool& is_linux) {
  return for_each_xen_note(notes, index,
                           [&](uint32_t type, std::span<const std::byte> contents) -> Result<void> {
                             if (type == kGuestSystemNote) {
                               is_linux = is_linux || equals(contents, kLinux);
                             } else if (type == kPhys32EntryNote && !entry) {
                               auto found = read_entry(contents);
                               if (!found) {
                                 return std::unexpected(found.error());
                               }
                               entry = *found;
                             }
                             return {};
                           });
}

Result<void> check_overlap(std::vector<PvhSegment> segments) {
  std::ranges::sort(segments, {}, &PvhSegment::guest_address);
  for (size_t i = 1; i < segments.size(); ++i) {
    const PvhSegment& before = segments[i - 1];
    const PvhSegment& after = segments[i];
    if (after.guest_address - before.guest_address < before.memory_size) {
      return fail("has segments {} and {} overlapping at {:#x}", before.index, after.index,
                  after.guest_address);
    }
  }
  return {};
}

bool lies_in_a_segment(uint64_t address, const std::vector<PvhSegment>& segments) {
  return std::ranges::any_of(segments, [&](const PvhSegment& segment) {
    return address >= segment.guest_address &&
           address - segment.guest_address < segment.memory_size;
  });
}

}  // namespace

Result<PvhImage> parse_pvh_image(std::span<const std::byte> file) {
  const auto header = read_header(file);
  if (!header) {
    return std::unexpected(header.error());
  }
  PvhImage image;
  std::optional<uint32_t> entry;
  for (unsigned i = 0; i < header->e_phnum; ++i) {
    const auto program = object_at<Elf64_Phdr>(file, header->e_phoff + i * sizeof(Elf64_Phdr));
    if (program->p_type == PT_LOAD && program->p_memsz != 0) {
      auto segment = read_segment(file, i, *program);
      if (!segment) {
        return std::unexpected(segment.error());
      }
      image.segments.push_back(*segment);
    } else if (program->p_type == PT_NOTE) {
      const auto notes = part(file, program->p_offset, program->p_filesz);
      if (!notes) {
        return fail("has its notes (segment {}) outside of the file of {} bytes", i, file.size());
      }
      if (auto read = read_notes(*notes, i, entry, image.is_linux); !read) {
        return std::unexpected(read.error());
      }
    }
  }
  if (!entry) {
    return fail("is no PVH kernel: it has no XEN_ELFNOTE_PHYS32_ENTRY note");
  }
  if (auto checked = check_overlap(image.segments); !checked) {
    return std::unexpected(checked.error());
  }
  if (!lies_in_a_segment(*entry, image.segments)) {
    return fail("has its PVH entry at {:#x}, in none of its segments", *entry);
  }
  image.entry = *entry;
  return image;
}

}  // namespace ensemble::vmm::arch
