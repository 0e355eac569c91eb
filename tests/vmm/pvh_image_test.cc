#include "pvh_image.h"

#include <gtest/gtest.h>

#include <limits>

#include "elf_builder.h"
#include "test_support.h"

namespace ensemble::vmm::arch {
namespace {

constexpr uint64_t kAddress = 0x100000;

std::string refuse(const std::vector<std::byte>& file) {
  return error_of(parse_pvh_image(file));
}

// A good kernel of two segments, to be spoilt by each test.
class PvhImageTest : public ::testing::Test {
 protected:
  PvhImageTest() {
    builder.add_segment(kAddress, bytes_of("code"), 4);
    builder.add_segment(0x200000, bytes_of("data"), 0x3000);
    builder.add_pvh_note(kAddress);
  }

  // A builder with one segment, returned, and the note.
  static Elf64_Phdr& with_one_segment(ElfBuilder& target) {
    target.add_pvh_note(kAddress);
    return target.add_segment(kAddress, bytes_of("code"), 4);
  }

  ElfBuilder builder;
};

TEST_F(PvhImageTest, ReadsSegmentsAndEntry) {
  const auto file = builder.build();
  const PvhImage image = take(parse_pvh_image(file));
  EXPECT_EQ(image.entry, kAddress);
  ASSERT_EQ(image.segments.size(), 2u);
  EXPECT_EQ(image.segments[1].guest_address, 0x200000u);
  EXPECT_EQ(image.segments[1].memory_size, 0x3000u);
  EXPECT_EQ(std::vector(image.segments[1].contents.begin(), image.segments[1].contents.end()),
            bytes_of("data"));
}

TEST_F(PvhImageTest, RefusesWhatIsNoElf) {
  EXPECT_EQ(refuse({}), "is no ELF file");
  EXPECT_EQ(refuse(bytes_of("\177ELF")), "is no ELF file");
  EXPECT_EQ(refuse(std::vector<std::byte>(4096)), "is no ELF file");
}

TEST_F(PvhImageTest, RefusesOtherMachines) {
  builder.header().e_machine = EM_AARCH64;
  EXPECT_TRUE(contains(refuse(builder.build()), "is no ELF for x86-64"));
  builder.header().e_machine = EM_X86_64;
  builder.header().e_ident[EI_CLASS] = ELFCLASS32;
  EXPECT_TRUE(contains(refuse(builder.build()), "class 1"));
  builder.header().e_ident[EI_CLASS] = ELFCLASS64;
  builder.header().e_ident[EI_DATA] = ELFDATA2MSB;
  EXPECT_TRUE(contains(refuse(builder.build()), "byte order 2"));
}

TEST_F(PvhImageTest, RefusesObjectFiles) {
  builder.header().e_type = ET_REL;
  EXPECT_TRUE(contains(refuse(builder.build()), "is no executable ELF: its type is 1"));
}

TEST_F(PvhImageTest, RefusesBadProgramHeaders) {
  builder.header().e_phnum = 0;
  EXPECT_TRUE(contains(refuse(builder.build()), "has 0 program headers"));
  builder.header().e_phnum = 65;
  EXPECT_TRUE(contains(refuse(builder.build()), "has 65 program headers"));
  builder.header().e_phnum = 3;
  builder.header().e_phentsize = 55;
  EXPECT_TRUE(contains(refuse(builder.build()), "of 55 bytes"));
  builder.header().e_phentsize = sizeof(Elf64_Phdr);
  for (uint64_t offset : {std::numeric_limits<uint64_t>::max(), uint64_t{1} << 20,
                          uint64_t{builder.build().size()} - 100}) {
    builder.header().e_phoff = offset;
    EXPECT_TRUE(contains(refuse(builder.build()), "outside of the file")) << offset;
  }
}

TEST_F(PvhImageTest, RefusesSegmentsOutsideOfTheFile) {
  for (uint64_t offset : {uint64_t{1} << 20, std::numeric_limits<uint64_t>::max()}) {
    ElfBuilder bad;
    with_one_segment(bad).p_offset = offset;
    EXPECT_TRUE(contains(refuse(bad.build()), "has segment 1 at")) << offset;
    EXPECT_TRUE(contains(refuse(bad.build()), "outside of the file")) << offset;
  }
  ElfBuilder bad;
  auto& segment = with_one_segment(bad);
  segment.p_filesz = segment.p_memsz = std::numeric_limits<uint64_t>::max();
  EXPECT_TRUE(contains(refuse(bad.build()), "outside of the file"));
}

TEST_F(PvhImageTest, RefusesSegmentsLargerInTheFile) {
  ElfBuilder bad;
  with_one_segment(bad).p_memsz = 3;
  EXPECT_TRUE(contains(refuse(bad.build()), "segment 1 with 4 bytes in the file, more than its 3"));
}

TEST_F(PvhImageTest, RefusesSegmentsThatWrapAround) {
  ElfBuilder bad;
  with_one_segment(bad).p_paddr = std::numeric_limits<uint64_t>::max() - 2;
  EXPECT_TRUE(contains(refuse(bad.build()), "beyond the end of the address space"));
}

TEST_F(PvhImageTest, RefusesOverlappingSegments) {
  builder.add_segment(0x202fff, bytes_of("x"), 1);
  EXPECT_TRUE(contains(refuse(builder.build()), "segments 1 and 3 overlapping at 0x202fff"));
}

TEST_F(PvhImageTest, IgnoresEmptySegments) {
  builder.add_segment(0x200100, {}, 0);
  EXPECT_EQ(take(parse_pvh_image(builder.build())).segments.size(), 2u);
}

TEST_F(PvhImageTest, WantsTheNote) {
  constexpr auto kMessage = "is no PVH kernel: it has no XEN_ELFNOTE_PHYS32_ENTRY note";
  ElfBuilder none;
  none.add_segment(kAddress, bytes_of("code"), 4);
  EXPECT_EQ(refuse(none.build()), kMessage);
  none.add_note("GNU", 18, bytes_of("12345678"));
  EXPECT_EQ(refuse(none.build()), kMessage) << "another owner's note of that number";
  none.add_note("Xen", 5, bytes_of("12345678"));
  EXPECT_EQ(refuse(none.build()), kMessage) << "another note of that owner";
}

TEST_F(PvhImageTest, FindsTheNoteBehindOthers) {
  ElfBuilder some;
  some.add_segment(kAddress, bytes_of("code"), 4);
  some.add_note("GNU", 3, bytes_of("build-id"));
  some.add_note("Xen", 18, {std::byte{2}, std::byte{0}, std::byte{0x10}, std::byte{0}});
  EXPECT_EQ(take(parse_pvh_image(some.build())).entry, kAddress + 2) << "an entry of 32 bits";
}

TEST_F(PvhImageTest, RefusesBadNotes) {
  ElfBuilder outside;
  with_one_segment(outside);
  outside.add_note("GNU", 1, {});
  ElfBuilder note_outside;
  note_outside.add_segment(kAddress, bytes_of("code"), 4);
  note_outside.add_pvh_note(kAddress).p_offset = 1 << 20;
  EXPECT_TRUE(contains(refuse(note_outside.build()), "has its notes (segment 1) outside"));

  ElfBuilder short_note;
  short_note.add_segment(kAddress, bytes_of("code"), 4);
  short_note.add_pvh_note(kAddress).p_filesz = 20;
  EXPECT_TRUE(contains(refuse(short_note.build()), "note cut short in segment 1"));
  ElfBuilder no_header;
  no_header.add_segment(kAddress, bytes_of("code"), 4);
  no_header.add_pvh_note(kAddress).p_filesz = 8;
  EXPECT_TRUE(contains(refuse(no_header.build()), "note cut short"));

  ElfBuilder odd;
  odd.add_segment(kAddress, bytes_of("code"), 4);
  odd.add_note("Xen", 18, bytes_of("123"));
  EXPECT_TRUE(contains(refuse(odd.build()), "note of 3 bytes where 4 or 8"));

  ElfBuilder high;
  high.add_segment(kAddress, bytes_of("code"), 4);
  high.add_pvh_note(uint64_t{1} << 32);
  EXPECT_TRUE(contains(refuse(high.build()), "above 4 GiB"));
}

TEST_F(PvhImageTest, WantsTheEntryInASegment) {
  for (uint64_t entry : {kAddress - 1, kAddress + 4}) {
    ElfBuilder bad;
    bad.add_segment(kAddress, bytes_of("code"), 4);
    bad.add_pvh_note(entry);
    EXPECT_TRUE(contains(refuse(bad.build()), "in none of its segments")) << entry;
  }
}

TEST_F(PvhImageTest, SurvivesEveryTruncationAndEachChangedByte) {
  const auto file = builder.build();
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(parse_pvh_image(std::span(file).first(size))) << size;
  }
  const size_t headers = sizeof(Elf64_Ehdr) + 3 * sizeof(Elf64_Phdr);
  for (size_t i = 0; i < headers; ++i) {
    for (int value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
      auto changed = file;
      changed[i] = static_cast<std::byte>(value);
      if (auto image = parse_pvh_image(changed)) {
        for (const PvhSegment& segment : image->segments) {
          EXPECT_LE(segment.contents.size(), segment.memory_size);
          EXPECT_GE(segment.contents.data(), changed.data());
          EXPECT_LE(segment.contents.data() + segment.contents.size(),
                    changed.data() + changed.size());
        }
      }
    }
  }
}

}  // namespace
}  // namespace ensemble::vmm::arch
