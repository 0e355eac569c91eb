#include "guest-kernel/lib/elf.h"

#include <elf.h>

#include <algorithm>
#include <cstring>

#include "guest-kernel/abi/layout.h"

namespace guest {
namespace {

constexpr std::uint64_t kPageMask = abi::kPageSize - 1;

bool inside(std::uint64_t file_size, std::uint64_t offset, std::uint64_t size) {
  return offset <= file_size && size <= file_size - offset;
}
bool inside(std::span<const std::byte> file, std::uint64_t offset, std::uint64_t size) {
  return inside(file.size(), offset, size);
}

template <typename T>
T load(std::span<const std::byte> file, std::uint64_t offset) {
  T value;
  std::memcpy(&value, file.data() + offset, sizeof(T));
  return value;
}

std::optional<ElfError> check_header(const Elf64_Ehdr& header) {
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    return ElfError::kNotElf;
  }
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_machine != EM_X86_64) {
    return ElfError::kWrongMachine;
  }
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN) {
    return ElfError::kWrongType;
  }
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == PN_XNUM) {
    return ElfError::kBadProgramHeaders;
  }
  return std::nullopt;
}

// `previous_end`: where the segment before ends.
bool segment_is_sound(std::uint64_t file_size, const Elf64_Phdr& header, std::uint64_t previous_end,
                      std::uint64_t limit) {
  return header.p_filesz <= header.p_memsz && inside(file_size, header.p_offset, header.p_filesz) &&
         header.p_vaddr >= previous_end && header.p_vaddr <= limit &&
         header.p_memsz <= limit - header.p_vaddr &&
         (header.p_filesz == 0 || ((header.p_vaddr - header.p_offset) & kPageMask) == 0);
}

}  // namespace

std::optional<ElfImage> ElfImage::parse(std::span<const std::byte> file,
                                        std::uint64_t address_limit, ElfError* error) {
  return parse_head(file, file.size(), address_limit, error);
}

std::optional<ElfImage> ElfImage::parse_head(std::span<const std::byte> file,
                                             std::uint64_t file_size, std::uint64_t address_limit,
                                             ElfError* error) {
  ElfError ignored{};
  ElfError& reason = error == nullptr ? ignored : *error;
  if (!inside(file, 0, sizeof(Elf64_Ehdr))) {
    reason = ElfError::kNotElf;
    return std::nullopt;
  }
  const auto header = load<Elf64_Ehdr>(file, 0);
  if (const auto wrong = check_header(header)) {
    reason = *wrong;
    return std::nullopt;
  }
  const std::uint64_t table_size = std::uint64_t{header.e_phnum} * sizeof(Elf64_Phdr);
  if (!inside(file, header.e_phoff, table_size)) {
    reason = ElfError::kBadProgramHeaders;
    return std::nullopt;
  }
  ElfImage image;
  image.file_ = file;
  image.entry_ = header.e_entry;
  image.position_independent_ = header.e_type == ET_DYN;
  image.program_header_count_ = header.e_phnum;
  std::uint64_t previous_end = 0;
  bool entry_found = false;
  for (std::uint64_t i = 0; i < header.e_phnum; ++i) {
    const auto program = load<Elf64_Phdr>(file, header.e_phoff + i * sizeof(Elf64_Phdr));
    const bool at_hand = inside(file, program.p_offset, program.p_filesz);
    const bool in_file = inside(file_size, program.p_offset, program.p_filesz);
    if ((program.p_type == PT_INTERP && !at_hand) || (program.p_type == PT_NOTE && !in_file)) {
      reason = ElfError::kBadSegment;
      return std::nullopt;
    }
    if (program.p_type == PT_INTERP) {
      const auto* text = reinterpret_cast<const char*>(file.data()) + program.p_offset;
      const std::string_view path(text, program.p_filesz);
      image.interpreter_ = path.substr(0, path.find('\0'));
    }
    if (program.p_type == PT_NOTE && at_hand && image.note_count_ < image.notes_.size()) {
      image.notes_[image.note_count_++] = file.subspan(program.p_offset, program.p_filesz);
    }
    if (program.p_type != PT_LOAD || program.p_memsz == 0) {
      continue;
    }
    if (image.segment_count_ == kMaximumSegments) {
      reason = ElfError::kTooManySegments;
      return std::nullopt;
    }
    if (!segment_is_sound(file_size, program, previous_end, address_limit)) {
      reason = ElfError::kBadSegment;
      return std::nullopt;
    }
    previous_end = program.p_vaddr + program.p_memsz;
    const bool executable = (program.p_flags & PF_X) != 0;
    entry_found |= executable && image.entry_ >= program.p_vaddr && image.entry_ < previous_end;
    if (header.e_phoff >= program.p_offset && program.p_filesz >= table_size &&
        header.e_phoff - program.p_offset <= program.p_filesz - table_size) {
      image.program_headers_address_ = program.p_vaddr + (header.e_phoff - program.p_offset);
    }
    image.segments_[image.segment_count_++] = {program.p_vaddr,
                                               program.p_memsz,
                                               program.p_offset,
                                               program.p_filesz,
                                               (program.p_flags & PF_R) != 0,
                                               (program.p_flags & PF_W) != 0,
                                               executable};
  }
  if (image.segment_count_ == 0 || !entry_found) {
    reason = image.segment_count_ == 0 ? ElfError::kNoSegment : ElfError::kBadEntry;
    return std::nullopt;
  }
  return image;
}

std::uint64_t ElfImage::start() const {
  return segments_[0].address & ~kPageMask;
}

std::uint64_t ElfImage::end() const {
  const ElfSegment& last = segments_[segment_count_ - 1];
  return (last.address + last.memory_size + kPageMask) & ~kPageMask;
}

std::span<const std::byte> ElfImage::note(std::string_view owner, std::uint32_t type) const {
  for (std::size_t i = 0; i < note_count_; ++i) {
    std::span<const std::byte> notes = notes_[i];
    while (notes.size() >= sizeof(Elf64_Nhdr)) {
      const auto header = load<Elf64_Nhdr>(notes, 0);
      const std::uint64_t name = sizeof(Elf64_Nhdr);
      const std::uint64_t content = name + ((std::uint64_t{header.n_namesz} + 3) & ~3ull);
      const std::uint64_t next = content + ((std::uint64_t{header.n_descsz} + 3) & ~3ull);
      if (!inside(notes, content, header.n_descsz)) {
        break;
      }
      const auto* text = reinterpret_cast<const char*>(notes.data()) + name;
      if (header.n_type == type && header.n_namesz == owner.size() + 1 &&
          std::string_view(text, owner.size()) == owner && text[owner.size()] == '\0') {
        return notes.subspan(content, header.n_descsz);
      }
      notes = notes.subspan(std::min<std::uint64_t>(next, notes.size()));
    }
  }
  return {};
}

const char* elf_error_text(ElfError error) {
  switch (error) {
    case ElfError::kNotElf:
      return "not an ELF file";
    case ElfError::kWrongMachine:
      return "not a 64-bit x86 ELF file";
    case ElfError::kWrongType:
      return "neither an executable nor position-independent";
    case ElfError::kBadProgramHeaders:
      return "the program headers lie outside the file";
    case ElfError::kBadSegment:
      return "a segment lies outside the file or the address space, or overlaps another";
    case ElfError::kTooManySegments:
      return "more than 16 loadable segments";
    case ElfError::kNoSegment:
      return "no loadable segment";
    case ElfError::kBadEntry:
      return "the entry point is not in an executable segment";
  }
  return "unknown error";
}

}  // namespace guest
