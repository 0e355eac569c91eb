#include "elf_builder.h"

#include <cstring>

namespace ensemble::vmm {
namespace {

constexpr uint32_t kPhys32Entry = 18;

void append(std::vector<std::byte>& target, std::span<const std::byte> data) {
  target.insert(target.end(), data.begin(), data.end());
}

}  // namespace

ElfBuilder::ElfBuilder() {
  std::memcpy(header_.e_ident, ELFMAG, SELFMAG);
  header_.e_ident[EI_CLASS] = ELFCLASS64;
  header_.e_ident[EI_DATA] = ELFDATA2LSB;
  header_.e_ident[EI_VERSION] = EV_CURRENT;
  header_.e_type = ET_EXEC;
  header_.e_machine = EM_X86_64;
  header_.e_version = EV_CURRENT;
  header_.e_ehsize = sizeof(Elf64_Ehdr);
  header_.e_phoff = sizeof(Elf64_Ehdr);
  header_.e_phentsize = sizeof(Elf64_Phdr);
}

Elf64_Phdr& ElfBuilder::add(uint32_t type, std::vector<std::byte> contents) {
  Elf64_Phdr header = {};
  header.p_type = type;
  header.p_offset = kContentsStart + contents_.size();
  header.p_filesz = contents.size();
  header.p_memsz = contents.size();
  append(contents_, contents);
  program_headers_.push_back(header);
  header_.e_phnum = static_cast<uint16_t>(program_headers_.size());
  return program_headers_.back();
}

Elf64_Phdr& ElfBuilder::add_segment(uint64_t guest_address, std::vector<std::byte> contents,
                                    uint64_t memory_size) {
  Elf64_Phdr& header = add(PT_LOAD, std::move(contents));
  header.p_paddr = guest_address;
  header.p_memsz = memory_size;
  return header;
}

Elf64_Phdr& ElfBuilder::add_note(const std::string& owner, uint32_t type,
                                 std::vector<std::byte> contents) {
  const Elf64_Nhdr note = {.n_namesz = static_cast<Elf64_Word>(owner.size() + 1),
                           .n_descsz = static_cast<Elf64_Word>(contents.size()),
                           .n_type = type};
  std::vector<std::byte> bytes;
  append(bytes, std::as_bytes(std::span(&note, 1)));
  append(bytes, std::as_bytes(std::span(owner.c_str(), owner.size() + 1)));
  bytes.resize((bytes.size() + 3) & ~size_t{3});
  append(bytes, contents);
  bytes.resize((bytes.size() + 3) & ~size_t{3});
  return add(PT_NOTE, std::move(bytes));
}

Elf64_Phdr& ElfBuilder::add_pvh_note(uint64_t entry) {
  std::vector<std::byte> contents;
  append(contents, std::as_bytes(std::span(&entry, 1)));
  return add_note("Xen", kPhys32Entry, std::move(contents));
}

std::vector<std::byte> ElfBuilder::build() const {
  std::vector<std::byte> file;
  append(file, std::as_bytes(std::span(&header_, 1)));
  append(file, std::as_bytes(std::span(program_headers_)));
  file.resize(kContentsStart);
  append(file, contents_);
  return file;
}

std::vector<std::byte> make_kernel(std::span<const std::byte> code) {
  constexpr uint64_t kAddress = 0x100000;
  ElfBuilder builder;
  builder.add_segment(kAddress, {code.begin(), code.end()}, code.size());
  builder.add_pvh_note(kAddress);
  return builder.build();
}

}  // namespace ensemble::vmm
