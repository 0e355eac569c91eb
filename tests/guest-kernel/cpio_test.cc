#include "guest-kernel/lib/cpio.h"

#include <gtest/gtest.h>

#include "tests/guest-kernel/cpio_builder.h"

namespace guest {
namespace {

using guest_test::CpioBuilder;

std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(Cpio, ReadsEntriesInOrder) {
  CpioBuilder archive;
  archive.add("bin", "", 0040755).add("bin/a", "hello").add("link", "bin/a", 0120777).finish();
  archive.bytes() += std::string(512, '\0');
  CpioReader reader(archive.view());
  auto entry = reader.next();
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->name, "bin");
  EXPECT_EQ(entry->mode, 0040755u);
  EXPECT_TRUE(entry->content.empty());
  entry = reader.next();
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->name, "bin/a");
  EXPECT_EQ(text(entry->content), "hello");
  EXPECT_EQ(text(archive.view().subspan(entry->offset, 5)), "hello");
  EXPECT_EQ(entry->inode, 2u);
  EXPECT_EQ(entry->uid, 1u);
  EXPECT_EQ(entry->gid, 2u);
  EXPECT_EQ(entry->links, 1u);
  EXPECT_EQ(entry->modification_time, 3u);
  EXPECT_EQ(entry->device_major, 4u);
  EXPECT_EQ(entry->device_minor, 5u);
  EXPECT_EQ(entry->special_major, 6u);
  EXPECT_EQ(entry->special_minor, 7u);
  entry = reader.next();
  ASSERT_TRUE(entry);
  EXPECT_EQ(text(entry->content), "bin/a");
  EXPECT_FALSE(reader.next());
  EXPECT_EQ(reader.error(), CpioError::kNone);
  EXPECT_EQ(reader.position(), archive.bytes().size() - 512);
  EXPECT_FALSE(reader.next());
}

TEST(Cpio, NameMayBePaddedForAlignment) {
  CpioBuilder archive;
  archive.add("file", "content", 0100644, 3000).finish();
  const auto entry = find_in_cpio(archive.view(), "file");
  ASSERT_TRUE(entry);
  EXPECT_EQ(text(entry->content), "content");
  EXPECT_FALSE(find_in_cpio(archive.view(), "fil"));
}

// The index of an archive whose contents start at `offset`.
std::string index_of(std::size_t offset, std::size_t size) {
  char header[111];
  std::snprintf(header, sizeof(header),
                "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 7u, 0100644u, 1u, 2u,
                1u, 3u, static_cast<unsigned>(size), static_cast<unsigned>(offset >> 32),
                static_cast<unsigned>(offset), 0u, 0u, 6u, 0u);
  CpioBuilder end;
  return header + std::string("a/one\0", 6) + end.finish().bytes();
}

TEST(Cpio, AnIndexStandsForTheEntries) {
  CpioBuilder archive;
  const std::size_t padding = 1000;
  archive.add(".newc-index", index_of(0, 0), 0100644, padding).add("a/one", "content");
  const std::size_t offset = archive.bytes().find("content");
  CpioBuilder indexed;
  indexed.add(".newc-index", index_of(offset, 7), 0100644, padding).add("a/one", "content");
  indexed.add("not/in/the/index", "more").finish();
  CpioReader reader(indexed.view());
  const auto entry = reader.next();
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->name, "a/one");
  EXPECT_EQ(text(entry->content), "content");
  EXPECT_EQ(entry->offset, offset);
  EXPECT_EQ(entry->inode, 7u);
  EXPECT_EQ(entry->device_minor, 0u);
  EXPECT_FALSE(reader.next());
  EXPECT_EQ(reader.error(), CpioError::kNone);
}

TEST(Cpio, AnIndexIsHeldToTheArchive) {
  for (const auto& [offset, size] :
       {std::pair<std::size_t, std::size_t>{0x1'0000'0000, 0}, {1'000'000, 0}, {0, 1'000'000}}) {
    CpioBuilder archive;
    archive.add(".newc-index", index_of(offset, size)).finish();
    CpioReader reader(archive.view());
    EXPECT_FALSE(reader.next());
    EXPECT_EQ(reader.error(), CpioError::kTruncated);
  }
  CpioBuilder cut;
  cut.add(".newc-index", index_of(0, 4).substr(0, 100)).finish();
  CpioReader reader(cut.view());
  EXPECT_FALSE(reader.next());
  EXPECT_EQ(reader.error(), CpioError::kTruncated);
  CpioBuilder twice;
  twice.add("first", "").add(".newc-index", "x").finish();
  CpioReader plain(twice.view());
  plain.next();
  EXPECT_EQ(text(plain.next()->content), "x") << "only the first entry is an index";
}

TEST(Cpio, EveryTruncationIsAnError) {
  CpioBuilder archive;
  archive.add("a", "12345").finish();
  // The padding after the trailer's name is no loss.
  const std::size_t least = archive.bytes().size() - 3;
  for (std::size_t size = 0; size < least; ++size) {
    CpioReader reader(archive.view().first(size));
    while (reader.next()) {
    }
    EXPECT_EQ(reader.error(), CpioError::kTruncated) << size;
  }
}

struct BrokenCase {
  std::size_t offset;
  std::string_view bytes;
  CpioError error;
};

class BrokenCpio : public testing::TestWithParam<BrokenCase> {};

TEST_P(BrokenCpio, IsRefused) {
  CpioBuilder archive;
  archive.add("name", "content").finish();
  archive.bytes().replace(GetParam().offset, GetParam().bytes.size(), GetParam().bytes);
  CpioReader reader(archive.view());
  while (reader.next()) {
  }
  EXPECT_EQ(reader.error(), GetParam().error);
  EXPECT_STRNE(cpio_error_text(reader.error()), "unknown error");
}

INSTANTIATE_TEST_SUITE_P(Fields, BrokenCpio,
                         testing::Values(BrokenCase{0, "070707", CpioError::kBadMagic},
                                         BrokenCase{14, "0000010G", CpioError::kBadNumber},
                                         BrokenCase{54, "FFFFFFFF", CpioError::kTruncated},
                                         BrokenCase{94, "00000000", CpioError::kBadName},
                                         BrokenCase{94, "FFFFFFFF", CpioError::kBadName},
                                         BrokenCase{94, "00000003", CpioError::kBadName}));

}  // namespace
}  // namespace guest
