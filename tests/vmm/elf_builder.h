#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ensemble::vmm {

// Makes ELF files, good and bad, for tests of the loader. Headers may be changed before `build`.
class ElfBuilder {
 public:
  ElfBuilder();

  // Adds a segment to be loaded. Returns its program header, valid until the next is added.
  Elf64_Phdr& add_segment(uint64_t guest_address, std::vector<std::byte> contents,
                          uint64_t memory_size);

  // Adds a segment with one note.
  Elf64_Phdr& add_note(const std::string& owner, uint32_t type, std::vector<std::byte> contents);
  // The note that makes it a PVH kernel.
  Elf64_Phdr& add_pvh_note(uint64_t entry);

  Elf64_Ehdr& header() { return header_; }

  std::vector<std::byte> build() const;

 private:
  Elf64_Phdr& add(uint32_t type, std::vector<std::byte> contents);

  static constexpr uint64_t kContentsStart = 0x1000;

  Elf64_Ehdr header_ = {};
  std::vector<Elf64_Phdr> program_headers_;
  std::vector<std::byte> contents_;  // From kContentsStart of the file.
};

// A kernel that holds `code` at 1 MiB and is entered at its first byte.
std::vector<std::byte> make_kernel(std::span<const std::byte> code);

}  // namespace ensemble::vmm
