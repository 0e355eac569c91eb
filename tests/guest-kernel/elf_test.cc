#include "guest-kernel/lib/elf.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <vector>

namespace guest {
namespace {

constexpr std::uint64_t kLimit = 0x100'0000;

// An executable of two segments and a note.
class ElfFile {
 public:
  ElfFile() : bytes_(0x3000) {
    std::memcpy(header().e_ident, ELFMAG, SELFMAG);
    header().e_ident[EI_CLASS] = ELFCLASS64;
    header().e_ident[EI_DATA] = ELFDATA2LSB;
    header().e_type = ET_DYN;
    header().e_machine = EM_X86_64;
    header().e_entry = 0x1010;
    header().e_phoff = sizeof(Elf64_Ehdr);
    header().e_phentsize = sizeof(Elf64_Phdr);
    header().e_phnum = 4;
    program(0) = {PT_LOAD, PF_R | PF_X, 0, 0, 0, 0x1800, 0x1800, 0x1000};
    program(1) = {PT_LOAD, PF_R | PF_W, 0x2000, 0x4000, 0x4000, 0x800, 0x2000, 0x1000};
    program(2) = {PT_NOTE, PF_R, 0x1000, 0x1000, 0x1000, 40, 40, 4};
    program(3) = {PT_INTERP, PF_R, 0x1100, 0x1100, 0x1100, 8, 8, 1};
    const Elf64_Nhdr note{9, 4, 1};
    std::memcpy(bytes_.data() + 0x1000, &note, sizeof(note));
    std::memcpy(bytes_.data() + 0x100c, "Ensemble", 9);
    std::memcpy(bytes_.data() + 0x1018, "data", 4);
    std::memcpy(bytes_.data() + 0x1100, "/lib/ld", 8);
  }

  Elf64_Ehdr& header() { return *reinterpret_cast<Elf64_Ehdr*>(bytes_.data()); }
  Elf64_Phdr& program(std::size_t index) {
    return reinterpret_cast<Elf64_Phdr*>(bytes_.data() + sizeof(Elf64_Ehdr))[index];
  }
  std::vector<std::byte>& bytes() { return bytes_; }
  std::optional<ElfImage> parse(ElfError* error = nullptr) const {
    return ElfImage::parse(bytes_, kLimit, error);
  }

 private:
  std::vector<std::byte> bytes_;
};

TEST(Elf, ReadsSegments) {
  ElfFile file;
  const auto image = file.parse();
  ASSERT_TRUE(image);
  ASSERT_EQ(image->segments().size(), 2u);
  EXPECT_TRUE(image->segments()[0].executable);
  EXPECT_FALSE(image->segments()[0].writable);
  EXPECT_TRUE(image->segments()[1].writable);
  EXPECT_EQ(image->segments()[1].address, 0x4000u);
  EXPECT_EQ(image->segments()[1].memory_size, 0x2000u);
  EXPECT_EQ(image->start(), 0u);
  EXPECT_EQ(image->end(), 0x6000u);
  EXPECT_EQ(image->entry(), 0x1010u);
  EXPECT_TRUE(image->position_independent());
  EXPECT_EQ(image->program_headers_address(), sizeof(Elf64_Ehdr));
  EXPECT_EQ(image->program_header_count(), 4u);
  EXPECT_EQ(image->interpreter(), "/lib/ld");
}

TEST(Elf, FindsItsNote) {
  ElfFile file;
  const auto image = file.parse();
  ASSERT_TRUE(image);
  const auto note = image->note("Ensemble", 1);
  ASSERT_EQ(note.size(), 4u);
  EXPECT_EQ(std::memcmp(note.data(), "data", 4), 0);
  EXPECT_TRUE(image->note("Ensemble", 2).empty());
  EXPECT_TRUE(image->note("ensemble", 1).empty());
}

TEST(Elf, NoteThatReachesOutOfItsSegmentIsNotFound) {
  ElfFile file;
  const std::uint32_t huge = 0xffff'fff0;
  std::memcpy(file.bytes().data() + 0x1004, &huge, sizeof(huge));
  const auto image = file.parse();
  ASSERT_TRUE(image);
  EXPECT_TRUE(image->note("Ensemble", 1).empty());
}

TEST(Elf, EveryTruncationIsAnError) {
  ElfFile file;
  for (std::size_t size = 0; size < 0x2800; size += 7) {
    EXPECT_FALSE(ElfImage::parse(std::span(file.bytes()).first(size), kLimit)) << size;
  }
}

struct BrokenCase {
  const char* name;
  std::function<void(ElfFile&)> harm;
  ElfError error;
};

class BrokenElf : public testing::TestWithParam<BrokenCase> {};

TEST_P(BrokenElf, IsRefused) {
  ElfFile file;
  GetParam().harm(file);
  ElfError error{};
  EXPECT_FALSE(file.parse(&error));
  EXPECT_EQ(error, GetParam().error);
  EXPECT_STRNE(elf_error_text(error), "unknown error");
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BrokenElf,
    testing::Values(
        BrokenCase{"magic", [](ElfFile& f) { f.header().e_ident[0] = 0; }, ElfError::kNotElf},
        BrokenCase{"class", [](ElfFile& f) { f.header().e_ident[EI_CLASS] = ELFCLASS32; },
                   ElfError::kWrongMachine},
        BrokenCase{"machine", [](ElfFile& f) { f.header().e_machine = EM_AARCH64; },
                   ElfError::kWrongMachine},
        BrokenCase{"type", [](ElfFile& f) { f.header().e_type = ET_REL; }, ElfError::kWrongType},
        BrokenCase{"entry_size", [](ElfFile& f) { f.header().e_phentsize = 8; },
                   ElfError::kBadProgramHeaders},
        BrokenCase{"table", [](ElfFile& f) { f.header().e_phoff = ~std::uint64_t{0} - 10; },
                   ElfError::kBadProgramHeaders},
        BrokenCase{"offset", [](ElfFile& f) { f.program(1).p_offset = ~std::uint64_t{0xfff}; },
                   ElfError::kBadSegment},
        BrokenCase{"overlap", [](ElfFile& f) { f.program(1).p_vaddr = 0x1000; },
                   ElfError::kBadSegment},
        BrokenCase{"limit", [](ElfFile& f) { f.program(1).p_memsz = kLimit; },
                   ElfError::kBadSegment},
        BrokenCase{"wrap", [](ElfFile& f) { f.program(1).p_memsz = ~std::uint64_t{0}; },
                   ElfError::kBadSegment},
        BrokenCase{"file_larger",
                   [](ElfFile& f) { f.program(1).p_filesz = 0x900, f.program(1).p_memsz = 0x800; },
                   ElfError::kBadSegment},
        BrokenCase{"not_congruent", [](ElfFile& f) { f.program(1).p_vaddr = 0x4010; },
                   ElfError::kBadSegment},
        BrokenCase{"interpreter", [](ElfFile& f) { f.program(3).p_filesz = 0x10'0000; },
                   ElfError::kBadSegment},
        BrokenCase{"entry", [](ElfFile& f) { f.header().e_entry = 0x4000; }, ElfError::kBadEntry},
        BrokenCase{"no_segment", [](ElfFile& f) { f.header().e_phnum = 0; }, ElfError::kNoSegment}),
    [](const auto& tested) { return tested.param.name; });

TEST(Elf, TooManySegments) {
  ElfFile file;
  file.header().e_phnum = 20;
  for (std::size_t i = 0; i < 20; ++i) {
    file.program(i) = {PT_LOAD, PF_R | PF_X, 0, i * 0x1000, 0, 0x1000, 0x1000, 0x1000};
  }
  ElfError error{};
  EXPECT_FALSE(file.parse(&error));
  EXPECT_EQ(error, ElfError::kTooManySegments);
}

}  // namespace
}  // namespace guest
