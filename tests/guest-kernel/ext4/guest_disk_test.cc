#include "guest-kernel/ext4/guest_disk.h"

#include <gtest/gtest.h>

#include "tests/guest-kernel/ext4/volume_fixture.h"

// The disk behind a block driver, which here is a disk in memory whose writes can be made to fail.
namespace {

struct Driver;
Driver* driver = nullptr;

struct Driver {
  Driver() { driver = this; }
  std::vector<std::byte> image = std::vector<std::byte>(std::size_t{16} * 1024 * 1024);
  std::vector<std::byte> shared = std::vector<std::byte>(guest::kBlockSharedSize);
  unsigned failing = 0;  // so many of the next writes and flushes

  guest::DeviceStatus answer(guest::Message& message) {
    const auto request = static_cast<guest::BlockRequest>(message[0]);
    if (request == guest::BlockRequest::kGeometry) {
      message[1] = image.size() / guest::kSectorSize;
      message[2] = 0;
      return guest::DeviceStatus::kOk;
    }
    if (request != guest::BlockRequest::kRead && failing != 0) {
      --failing;
      return guest::DeviceStatus::kDeviceError;
    }
    if (request != guest::BlockRequest::kFlush) {
      std::byte* const at = image.data() + message[1] * guest::kSectorSize;
      const std::size_t size = message[2] * guest::kSectorSize;
      const bool reads = request == guest::BlockRequest::kRead;
      std::memcpy(reads ? shared.data() : at, reads ? at : shared.data(), size);
    }
    return guest::DeviceStatus::kOk;
  }
};

}  // namespace

namespace guest {

Status call(Slot /*port*/, Message& message) {
  message[0] = static_cast<std::uint64_t>(driver->answer(message));
  return Status::kOk;
}

}  // namespace guest

namespace ext4 {
namespace {

class GuestDiskTest : public testing::Test {
 protected:
  static guest::Resource resource(Driver& driver) {
    guest::Resource block{};
    block.address = reinterpret_cast<std::uint64_t>(driver.shared.data());
    block.size = driver.shared.size();
    return block;
  }

  Driver driver_;
  GuestDisk disk_{resource(driver_)};
  std::array<std::byte, 4096> block_{};
};

TEST_F(GuestDiskTest, PutsWritesTogetherAndReadsWhatWasWritten) {
  block_.fill(std::byte{1});
  ASSERT_EQ(disk_.write(0, block_.data(), block_.size()), 0);
  ASSERT_EQ(disk_.write(4096, block_.data(), block_.size()), 0);
  EXPECT_EQ(driver_.image[0], std::byte{0});
  std::array<std::byte, 4096> found{};
  ASSERT_EQ(disk_.read(4096, found.data(), found.size()), 0);
  EXPECT_EQ(found, block_);
  EXPECT_EQ(driver_.image[0], std::byte{1});
}

TEST_F(GuestDiskTest, AWriteThatFailsLateFailsWhatFollowsToo) {
  ASSERT_EQ(disk_.write(0, block_.data(), block_.size()), 0);
  driver_.failing = 1;
  EXPECT_EQ(disk_.read(8192, block_.data(), block_.size()), EIO);
  // The disk works again, but does not have it.
  EXPECT_EQ(disk_.read(8192, block_.data(), block_.size()), EIO);
  EXPECT_EQ(disk_.write(4096, block_.data(), block_.size()), EIO);
  EXPECT_EQ(disk_.flush(), EIO);
  EXPECT_EQ(disk_.flush(), EIO);
  disk_.forget_failure();
  EXPECT_EQ(disk_.write(4096, block_.data(), block_.size()), 0);
  EXPECT_EQ(disk_.flush(), 0);
}

TEST_F(GuestDiskTest, AFlushThatFailsIsNotForgottenEither) {
  driver_.failing = 1;
  EXPECT_EQ(disk_.flush(), EIO);
  EXPECT_EQ(disk_.flush(), EIO);
}

// Blocks of the log that are put in their places late: if the disk does not take them the log must
// keep them, whoever is told of the failure.
TEST_F(GuestDiskTest, WhatWasCommittedIsInTheLogUntilItsPlaceHasIt) {
  const std::string first(1'000'000, 'f');
  const std::string second(40'000, 's');
  ext2_ino_t file = 0;
  ext2_ino_t other = 0;
  {
    MountedVolume volume(disk_);
    ASSERT_EQ(volume.result(), 0) << volume->report();
    InodeRecord what{};
    what.mode = 0100644;
    ASSERT_EQ(volume->create(kRootInode, "file", what, {}, file), 0);
    ASSERT_EQ(volume->create(kRootInode, "other", what, {}, other), 0);
    ASSERT_EQ(write_bytes(*volume, file, 0, bytes_of(first)), 0);
    ASSERT_EQ(volume->commit(), 0);
    // It goes to its places now, the end of it with the next request.
    driver_.failing = 1;
    EXPECT_EQ(disk_.read(0, block_.data(), block_.size()), EIO);
    EXPECT_EQ(driver_.failing, 0u);
    int failed = 0;
    for (std::uint64_t i = 0; failed == 0 && i < 400; ++i) {
      volume->begin_request(kNow);
      failed = write_bytes(*volume, other, i % 10 * second.size(), bytes_of(second));
      failed = failed != 0 ? failed : volume->commit();
    }
    EXPECT_EQ(failed, EIO);
    // What was committed can still be read.
    std::string found(first.size(), '?');
    volume->begin_request(kNow);
    EXPECT_EQ(volume->read(file, 0, std::as_writable_bytes(std::span(found))), 0);
    EXPECT_EQ(found, first);
  }
  RecordingDisk after(driver_.image);
  MountedVolume volume(after);
  ASSERT_EQ(volume.result(), 0) << volume->report();
  EXPECT_NE(tree_of(*volume)["/file"].find(first), std::string::npos);
  EXPECT_EQ(volume->unmount(), 0);
  const CommandResult check = check_image(after.image());
  EXPECT_EQ(check.code, 0) << check.output;
}

}  // namespace
}  // namespace ext4
