#include <gtest/gtest.h>

#include "tests/guest-kernel/ext4/volume_fixture.h"

// Extended attributes, and ranges with and without blocks.
namespace ext4 {
namespace {

constexpr std::uint64_t kSize = 8 * 1024 * 1024;

class Attributes : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(volume_->result(), 0);
    begin();
    InodeRecord what{};
    what.mode = 0100644;
    ASSERT_EQ(volume().create(kRootInode, "file", what, {}, file_), 0);
  }
  void TearDown() override {
    EXPECT_EQ(volume().unmount(), 0);
    volume_.reset();
    const CommandResult check = check_image(disk_.image());
    EXPECT_EQ(check.code, 0) << check.output;
  }

  Volume& volume() { return **volume_; }
  void begin() { volume().begin_request(kNow); }
  void mount_again() {
    begin();
    ASSERT_EQ(volume().unmount(), 0);
    volume_.emplace(disk_);
    ASSERT_EQ(volume_->result(), 0);
  }
  std::string value_of(std::string_view name) {
    std::string value(5000, '?');
    std::uint64_t size = 0;
    begin();
    const int failed =
        volume().get_attribute(file_, name, std::as_writable_bytes(std::span(value)), size);
    return failed != 0 ? "error " + std::to_string(failed) : value.substr(0, size);
  }
  int set(std::string_view name, std::string_view value) {
    begin();
    return volume().set_attribute(file_, name, bytes_of(value));
  }
  std::string names() {
    std::string text(5000, '?');
    std::uint64_t size = 0;
    begin();
    EXPECT_EQ(volume().list_attributes(file_, std::as_writable_bytes(std::span(text)), size), 0);
    return text.substr(0, size);
  }
  // Where data and holes begin in turn.
  std::vector<std::uint64_t> layout(std::uint64_t size) {
    std::vector<std::uint64_t> found;
    bool hole = false;
    for (std::uint64_t at = 0; at < size; hole = !hole) {
      begin();
      EXPECT_EQ(volume().seek(file_, hole, at, at), 0);
      found.push_back(at);
    }
    return found;
  }

  RecordingDisk disk_{kSize};
  std::optional<MountedVolume> volume_{std::in_place, disk_};
  ext2_ino_t file_ = 0;
};

TEST_F(Attributes, OutliveAMountInTheInodeAndInABlock) {
  EXPECT_EQ(value_of("user.none"), "error " + std::to_string(ENODATA));
  EXPECT_EQ(names(), "");
  const std::string large(2500, 'x');
  ASSERT_EQ(set("user.small", "value"), 0);
  ASSERT_EQ(set("user.large", large), 0);
  ASSERT_EQ(set("trusted.empty", ""), 0);
  ASSERT_EQ(set("user.small", "other"), 0);
  mount_again();
  EXPECT_EQ(value_of("user.small"), "other");
  EXPECT_EQ(value_of("user.large"), large);
  EXPECT_EQ(value_of("trusted.empty"), "");
  EXPECT_EQ(names().size(), 11u + 11u + 14u);
  begin();
  EXPECT_EQ(volume().remove_attribute(file_, "user.large"), 0);
  EXPECT_EQ(volume().remove_attribute(file_, "user.large"), ENODATA);
  EXPECT_EQ(value_of("user.small"), "other");
}

TEST_F(Attributes, ThatDoNotFitLeaveTheOthersAlone) {
  ASSERT_EQ(set("user.a", std::string(2000, 'a')), 0);
  EXPECT_EQ(set("user.b", std::string(3000, 'b')), ENOSPC);
  EXPECT_EQ(set("user.c", std::string(9000, 'c')), ENOSPC);
  EXPECT_EQ(value_of("user.a"), std::string(2000, 'a'));
  std::uint64_t size = 0;
  begin();
  EXPECT_EQ(volume().get_attribute(file_, "user.a", {}, size), ERANGE);
  EXPECT_EQ(size, 2000u);
}

TEST_F(Attributes, GoWithTheirFile) {
  StatisticsRecord before{};
  volume().statistics(before);
  ASSERT_EQ(set("user.a", std::string(2000, 'a')), 0);
  begin();
  ASSERT_EQ(volume().remove(kRootInode, "file", file_), 0);
  ASSERT_EQ(volume().release(file_), 0);
  StatisticsRecord after{};
  volume().statistics(after);
  EXPECT_EQ(after.free_blocks, before.free_blocks);
}

TEST_F(Attributes, AreNotThoseOfTheNextFileWithTheNumber) {
  ASSERT_EQ(set("user.a", "a"), 0);
  const ext2_ino_t old = file_;
  for (const std::uint32_t mode : {0100644u, 0040755u, 0010644u}) {
    begin();
    ASSERT_EQ(volume().remove(kRootInode, "file", file_), 0);
    ASSERT_EQ(volume().release(file_), 0);
    InodeRecord what{};
    what.mode = mode;
    ASSERT_EQ(volume().create(kRootInode, "file", what, {}, file_), 0);
    EXPECT_EQ(names(), "") << mode;
    ASSERT_EQ(set("user.b", "b"), 0);
  }
  EXPECT_EQ(file_, old);
}

TEST_F(Attributes, HolesAreFoundWhereTheyAre) {
  begin();
  ASSERT_EQ(write_bytes(volume(), file_, 8192, bytes_of(std::string(4096, 'x'))), 0);
  ASSERT_EQ(write_bytes(volume(), file_, 20480, bytes_of("end")), 0);
  const std::uint64_t size = 20483;
  EXPECT_EQ(layout(size), (std::vector<std::uint64_t>{8192, 12288, 20480, size}));
  // Allocated is not written.
  ASSERT_EQ(volume().allocate(file_, true, 0, 1 << 20), 0);
  EXPECT_EQ(layout(size), (std::vector<std::uint64_t>{8192, 12288, 20480, size}));
  std::uint64_t found = 0;
  EXPECT_EQ(volume().seek(file_, true, 9000, found), 0);
  EXPECT_EQ(found, 12288u);
  EXPECT_EQ(volume().seek(file_, true, 100, found), 0);
  EXPECT_EQ(found, 100u);
  begin();
  ASSERT_EQ(volume().punch(file_, 8192, 4096), 0);
  EXPECT_EQ(layout(size), (std::vector<std::uint64_t>{20480, size}));
}

TEST_F(Attributes, AZeroedRangeReadsAsZeroesOnBlocks) {
  const std::string text(30'000, 'x');
  begin();
  ASSERT_EQ(write_bytes(volume(), file_, 0, bytes_of(text)), 0);
  ASSERT_EQ(volume().zero_range(file_, true, 5000, 10'000), 0);
  ASSERT_EQ(volume().zero_range(file_, false, 29'000, 11'000), 0);
  std::string expected = text + std::string(10'000, '\0');
  expected.replace(5000, 10'000, 10'000, '\0').replace(29'000, 11'000, 11'000, '\0');
  std::string bytes(40'000, '?');
  ASSERT_EQ(volume().read(file_, 0, std::as_writable_bytes(std::span(bytes))), 0);
  EXPECT_TRUE(bytes == expected);
  InodeRecord record{};
  ASSERT_EQ(volume().get(file_, record), 0);
  EXPECT_EQ(record.size, 40'000u);
  EXPECT_EQ(record.allocated, 40'960u);
}

TEST_F(Attributes, AWriteThatFillsTheDiskIsShort) {
  StatisticsRecord before{};
  volume().statistics(before);
  begin();
  ASSERT_EQ(volume().allocate(file_, false, 0, (before.free_blocks - 60) * 4096), 0);
  ext2_ino_t other = 0;
  InodeRecord what{};
  what.mode = 0100644;
  ASSERT_EQ(volume().create(kRootInode, "other", what, {}, other), 0);
  const std::string text(100 * 4096, 'x');
  std::uint64_t done = 0;
  EXPECT_EQ(volume().write(other, 0, bytes_of(text), done), 0);
  EXPECT_GT(done, 30u * 4096);
  EXPECT_LT(done, text.size());
  const std::uint64_t first = done;
  EXPECT_EQ(volume().write(other, first, bytes_of(text), done), ENOSPC);
  InodeRecord record{};
  ASSERT_EQ(volume().get(other, record), 0);
  EXPECT_EQ(record.size, first);
}

}  // namespace
}  // namespace ext4
