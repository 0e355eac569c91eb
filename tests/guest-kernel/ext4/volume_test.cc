#include <gtest/gtest.h>

#include "tests/guest-kernel/ext4/volume_fixture.h"

namespace ext4 {
namespace {

constexpr std::size_t kSize = 32 * 1024 * 1024;

InodeRecord file_with(std::uint32_t mode) {
  InodeRecord what{};
  what.mode = mode;
  what.user = 1000;
  what.group = 70000;
  return what;
}

TEST(Volume, FormatsABlankDiskThatE2fsckFindsSound) {
  RecordingDisk disk(kSize);
  {
    MountedVolume volume(disk);
    ASSERT_EQ(volume.result(), 0) << volume->report();
    EXPECT_EQ(volume->report(), "the blank disk was formatted");
    EXPECT_FALSE(volume->is_read_only());
    EXPECT_EQ(volume->unmount(), 0);
  }
  const CommandResult check = check_image(disk.image());
  EXPECT_EQ(check.code, 0) << check.output;
}

TEST(Volume, KeepsFilesDirectoriesLinksAndDevices) {
  RecordingDisk disk(kSize);
  std::map<std::string, std::string> before;
  {
    MountedVolume volume(disk);
    ASSERT_EQ(volume.result(), 0);
    volume->begin_request(kNow);
    ext2_ino_t directory = 0;
    ext2_ino_t file = 0;
    ext2_ino_t other = 0;
    ASSERT_EQ(volume->create(kRootInode, "d", file_with(0040750), {}, directory), 0);
    ASSERT_EQ(volume->create(directory, "file", file_with(0100640), {}, file), 0);
    ASSERT_EQ(write_bytes(*volume, file, 4090, bytes_of("hello, world")), 0);
    ASSERT_EQ(volume->link(kRootInode, "again", file), 0);
    ASSERT_EQ(volume->create(kRootInode, "short", file_with(0120777), "d/file", other), 0);
    ASSERT_EQ(volume->create(kRootInode, "long", file_with(0120777), std::string(300, 'x'), other),
              0);
    InodeRecord device = file_with(0020600);
    device.device_number = 0x105;
    ASSERT_EQ(volume->create(kRootInode, "device", device, {}, other), 0);
    before = tree_of(*volume);
    EXPECT_EQ(before.size(), 7u);  // lost+found too
    EXPECT_EQ(volume->unmount(), 0);
  }
  const CommandResult check = check_image(disk.image());
  EXPECT_EQ(check.code, 0) << check.output;
  MountedVolume volume(disk);
  ASSERT_EQ(volume.result(), 0);
  EXPECT_EQ(tree_of(*volume), before);
  for (const FoundEntry& entry : list_all(*volume, kRootInode)) {
    std::array<std::byte, 4096> target;
    std::uint64_t size = 0;
    if (entry.name == "long") {
      EXPECT_EQ(volume->read_link(entry.inode.inode, target, size), 0);
      EXPECT_EQ(size, 300u);
    } else if (entry.name == "short") {
      EXPECT_EQ(volume->read_link(entry.inode.inode, target, size), 0);
      EXPECT_EQ(size, 6u);
    } else if (entry.name == "device") {
      EXPECT_EQ(entry.inode.device_number, 0x105u);
    } else if (entry.name == "again") {
      EXPECT_EQ(entry.inode.links, 2u);
      EXPECT_EQ(entry.inode.user, 1000u);
      EXPECT_EQ(entry.inode.group, 70000u);
      EXPECT_EQ(entry.inode.modified, kNow);
      EXPECT_EQ(entry.inode.size, 4102u);
    }
  }
}

TEST(Volume, WhatIsUncommittedIsGoneAndWhatIsCommittedIsThere) {
  RecordingDisk disk(kSize);
  {
    MountedVolume volume(disk);
    ASSERT_EQ(volume.result(), 0);
    volume->begin_request(kNow);
    ext2_ino_t file = 0;
    ASSERT_EQ(volume->create(kRootInode, "kept", file_with(0100644), {}, file), 0);
    ASSERT_EQ(write_bytes(*volume, file, 0, bytes_of("kept")), 0);
    ASSERT_EQ(volume->commit(), 0);
    ASSERT_EQ(volume->create(kRootInode, "lost", file_with(0100644), {}, file), 0);
  }
  MountedVolume volume(disk);
  ASSERT_EQ(volume.result(), 0);
  EXPECT_EQ(volume->report(), "the journal was replayed");
  const auto tree = tree_of(*volume);
  EXPECT_TRUE(tree.contains("/kept"));
  EXPECT_FALSE(tree.contains("/lost"));
}

TEST(Volume, AFullDiskGivesErrnoAndStaysSound) {
  RecordingDisk disk(kSize);
  disk.recording = false;
  {
    MountedVolume volume(disk);
    ASSERT_EQ(volume.result(), 0);
    const std::string block(100'000, 'x');
    ext2_ino_t file = 0;
    ASSERT_EQ(volume->create(kRootInode, "big", file_with(0100644), {}, file), 0);
    int failed = 0;
    std::uint64_t at = 0;
    for (; failed == 0 && at < kSize; at += block.size()) {
      volume->begin_request(kNow);
      failed = write_bytes(*volume, file, at, bytes_of(block));
    }
    EXPECT_EQ(failed, ENOSPC);
    // All blocks but the few for metadata are the file's.
    StatisticsRecord full{};
    volume->statistics(full);
    EXPECT_LT(full.free_blocks, 20u);
    EXPECT_EQ(write_bytes(*volume, file, kSize, bytes_of("no")), ENOSPC);
    EXPECT_EQ(volume->allocate(file, true, 0, kSize), ENOSPC);
    EXPECT_GT(at, kSize / 2);
    EXPECT_EQ(volume->truncate(file, 5), 0);
    EXPECT_EQ(write_bytes(*volume, file, 0, bytes_of("again")), 0);
    int made = 0;
    for (int i = 0; made == 0 && i < 20000; ++i) {
      volume->begin_request(kNow);
      made = volume->create(kRootInode, "f" + std::to_string(i), file_with(0100644), {}, file);
    }
    EXPECT_EQ(made, ENOSPC);
    EXPECT_EQ(volume->unmount(), 0);
  }
  const CommandResult check = check_image(disk.image());
  EXPECT_EQ(check.code, 0) << check.output;
}

TEST(Volume, HolesPreallocationAndTruncation) {
  RecordingDisk disk(kSize);
  {
    MountedVolume volume(disk);
    ASSERT_EQ(volume.result(), 0);
    ext2_ino_t file = 0;
    volume->begin_request(kNow);
    ASSERT_EQ(volume->create(kRootInode, "f", file_with(0100644), {}, file), 0);
    ASSERT_EQ(write_bytes(*volume, file, 1'000'000, bytes_of("end")), 0);
    ASSERT_EQ(volume->allocate(file, false, 0, 2'000'000), 0);
    ASSERT_EQ(write_bytes(*volume, file, 500'000, bytes_of("middle")), 0);
    std::string bytes(2'000'000, '?');
    ASSERT_EQ(volume->read(file, 0, std::as_writable_bytes(std::span(bytes))), 0);
    std::string expected(2'000'000, '\0');
    expected.replace(1'000'000, 3, "end").replace(500'000, 6, "middle");
    EXPECT_TRUE(bytes == expected);
    ASSERT_EQ(volume->punch(file, 499'000, 1003), 0);
    ASSERT_EQ(volume->truncate(file, 1'000'001), 0);
    ASSERT_EQ(volume->truncate(file, 2'000'000), 0);
    ASSERT_EQ(volume->read(file, 0, std::as_writable_bytes(std::span(bytes))), 0);
    expected.replace(500'000, 6, std::string("\0\0\0dle", 6)).replace(1'000'001, 2, 2, '\0');
    EXPECT_TRUE(bytes == expected);
    EXPECT_EQ(volume->unmount(), 0);
  }
  const CommandResult check = check_image(disk.image());
  EXPECT_EQ(check.code, 0) << check.output;
}

TEST(Volume, OrphansEndAtReleaseOrAtTheNextMount) {
  for (const bool released : {true, false}) {
    RecordingDisk disk(kSize);
    StatisticsRecord before{};
    {
      MountedVolume volume(disk);
      ASSERT_EQ(volume.result(), 0);
      volume->begin_request(kNow);
      volume->statistics(before);
      std::array<ext2_ino_t, 4> files{};
      for (std::size_t i = 0; i < files.size(); ++i) {
        const std::string name = i == 3 ? "" : std::to_string(i);
        ASSERT_EQ(volume->create(kRootInode, name, file_with(0100644), {}, files[i]), 0);
        ASSERT_EQ(write_bytes(*volume, files[i], 0, bytes_of(std::string(9000, 'x'))), 0);
      }
      for (std::size_t i = 0; i < 3; ++i) {
        ASSERT_EQ(volume->remove(kRootInode, std::to_string(i), files[i]), 0);
      }
      for (const std::size_t i : {1, 0, 3, 2}) {
        if (released) {
          ASSERT_EQ(volume->release(files[i]), 0);
        }
      }
      EXPECT_EQ(volume->release(kRootInode), EIO);
      ASSERT_EQ(volume->commit(), 0);
    }
    StatisticsRecord after{};
    {
      MountedVolume volume(disk);
      ASSERT_EQ(volume.result(), 0);
      volume->statistics(after);
      EXPECT_EQ(volume->unmount(), 0);
    }
    EXPECT_EQ(before.free_blocks, after.free_blocks);
    EXPECT_EQ(before.free_inodes, after.free_inodes);
    const CommandResult check = check_image(disk.image());
    EXPECT_EQ(check.code, 0) << check.output;
  }
}

TEST(Volume, RenamesAsLinuxDoes) {
  RecordingDisk disk(kSize);
  {
    MountedVolume volume(disk);
    ASSERT_EQ(volume.result(), 0);
    volume->begin_request(kNow);
    ext2_ino_t a = 0;
    ext2_ino_t b = 0;
    ext2_ino_t c = 0;
    ext2_ino_t file = 0;
    ASSERT_EQ(volume->create(kRootInode, "a", file_with(0040755), {}, a), 0);
    ASSERT_EQ(volume->create(kRootInode, "b", file_with(0040755), {}, b), 0);
    ASSERT_EQ(volume->create(a, "c", file_with(0040755), {}, c), 0);
    ASSERT_EQ(volume->create(b, "file", file_with(0100644), {}, file), 0);
    // A directory elsewhere, over an empty one, in exchange with a file; a file over a file.
    ASSERT_EQ(volume->rename({a, c, b, 0, 0}, "c", "moved"), 0);
    ext2_ino_t empty = 0;
    ASSERT_EQ(volume->create(a, "empty", file_with(0040755), {}, empty), 0);
    ASSERT_EQ(volume->rename({b, c, a, empty, 0}, "moved", "empty"), 0);
    ASSERT_EQ(volume->release(empty), 0);
    ASSERT_EQ(volume->rename({a, c, b, file, 1}, "empty", "file"), 0);
    ext2_ino_t over = 0;
    ASSERT_EQ(volume->create(kRootInode, "over", file_with(0100600), {}, over), 0);
    ASSERT_EQ(volume->rename({a, file, kRootInode, over, 0}, "empty", "over"), 0);
    ASSERT_EQ(volume->release(over), 0);
    const auto tree = tree_of(*volume);
    EXPECT_TRUE(tree.contains("/b/file"));
    EXPECT_TRUE(tree.contains("/over"));
    EXPECT_EQ(tree.size(), 5u);
    EXPECT_EQ(volume->unmount(), 0);
  }
  const CommandResult check = check_image(disk.image());
  EXPECT_EQ(check.code, 0) << check.output;
}

TEST(Volume, AFailingDiskGivesErrorsAndLeavesWhatWasCommitted) {
  for (const std::size_t writes : {0, 1, 3, 10, 40}) {
    RecordingDisk disk(kSize);
    std::vector<std::byte> image;
    {
      MountedVolume volume(disk);
      ASSERT_EQ(volume.result(), 0);
      ext2_ino_t file = 0;
      ASSERT_EQ(volume->create(kRootInode, "f", file_with(0100644), {}, file), 0);
      ASSERT_EQ(volume->commit(), 0);
      disk.writes_left = writes;
      int failed = 0;
      for (std::uint64_t i = 0; failed == 0 && i < 100; ++i) {
        volume->begin_request(kNow);
        failed = write_bytes(*volume, file, i * 100'000, bytes_of(std::string(100'000, 'y')));
        failed = failed != 0 ? failed : volume->commit();
      }
      EXPECT_EQ(failed, EIO);
      EXPECT_EQ(write_bytes(*volume, file, 0, bytes_of("no")), EIO);
      EXPECT_EQ(volume->commit(), EIO);
      disk.writes_left = ~std::size_t{0};
    }
    MountedVolume volume(disk);
    ASSERT_EQ(volume.result(), 0) << volume->report();
    EXPECT_TRUE(tree_of(*volume).contains("/f"));
    EXPECT_EQ(volume->unmount(), 0);
    const CommandResult check = check_image(disk.image());
    EXPECT_EQ(check.code, 0) << check.output;
  }
}

// Commits a file "f" that holds "hello", and changes it.
void change_after_a_commit(Volume& volume, ext2_ino_t& file) {
  ASSERT_EQ(volume.create(kRootInode, "f", file_with(0100644), {}, file), 0);
  ASSERT_EQ(write_bytes(volume, file, 0, bytes_of("hello")), 0);
  ASSERT_EQ(volume.commit(), 0);
  ASSERT_EQ(write_bytes(volume, file, 0, bytes_of(std::string(100'000, 'y'))), 0);
}

TEST(Volume, AfterAFailureKeepsWhatTheDiskMayNotHave) {
  RecordingDisk disk(kSize);
  MountedVolume volume(disk);
  ASSERT_EQ(volume.result(), 0);
  ext2_ino_t file = 0;
  ASSERT_NO_FATAL_FAILURE(change_after_a_commit(*volume, file));
  disk.flushes_left = 0;
  ASSERT_EQ(volume->commit(), EIO);
  InodeRecord found{};
  volume->begin_request(kNow);
  // The disk does not say that it has what was committed.
  EXPECT_EQ(volume->get(file, found), EIO);
}

TEST(Volume, AfterAFailedWriteShowsWhatWasCommitted) {
  RecordingDisk disk(kSize);
  MountedVolume volume(disk);
  ASSERT_EQ(volume.result(), 0);
  ext2_ino_t file = 0;
  ASSERT_NO_FATAL_FAILURE(change_after_a_commit(*volume, file));
  disk.failing_writes = 1;
  ASSERT_EQ(volume->commit(), EIO);
  InodeRecord found{};
  volume->begin_request(kNow);
  ASSERT_EQ(volume->get(file, found), 0);
  EXPECT_EQ(found.size, 5u);
  EXPECT_NE(tree_of(*volume)["/f"].find("hello"), std::string::npos);
}

// Made by the stock tools, with every size of block and other features.
TEST(Volume, WorksOnWhatMke2fsMakes) {
  for (const std::string options : {"-b 1024", "-b 2048", "-b 4096", "-O ^metadata_csum,^64bit",
                                    "-O ^extents,^64bit,^metadata_csum,^flex_bg", "-I 128"}) {
    const std::string path = work_file(".mke2fs");
    save(std::vector<std::byte>(kSize), path);
    const CommandResult made = run_command("mke2fs -q -F -t ext4 " + options + " " + path);
    ASSERT_EQ(made.code, 0) << made.output;
    RecordingDisk disk(load(path));
    disk.recording = false;
    std::filesystem::remove(path);
    {
      MountedVolume volume(disk);
      ASSERT_EQ(volume.result(), 0) << options << volume->report();
      ASSERT_FALSE(volume->is_read_only()) << options << volume->report();
      ext2_ino_t directory = 0;
      ASSERT_EQ(volume->create(kRootInode, "dir", file_with(0040755), {}, directory), 0);
      for (int i = 0; i < 300; ++i) {
        ext2_ino_t file = 0;
        volume->begin_request(kNow);
        ASSERT_EQ(volume->create(directory, "a name that is not short " + std::to_string(i),
                                 file_with(0100644), {}, file),
                  0);
        ASSERT_EQ(write_bytes(*volume, file, 0,
                              bytes_of(std::string(100 * static_cast<unsigned>(i), 'z'))),
                  0);
        if (i % 3 == 0) {
          ASSERT_EQ(volume->commit(), 0);
        }
      }
      ASSERT_EQ(volume->commit(), 0);
    }
    const CommandResult replayed = check_image(disk.image(), "-fy");
    EXPECT_LE(replayed.code, 1) << options << replayed.output;
    EXPECT_NE(replayed.output.find("recovering journal"), std::string::npos);
    EXPECT_EQ(replayed.output.find("Fix"), std::string::npos) << options << replayed.output;
    {
      MountedVolume volume(disk);
      ASSERT_EQ(volume.result(), 0) << volume->report();
      EXPECT_EQ(tree_of(*volume).size(), 302u);
      EXPECT_EQ(volume->unmount(), 0);
    }
    const CommandResult check = check_image(disk.image());
    EXPECT_EQ(check.code, 0) << options << check.output;
  }
}

// Not only the start of a disk says whether there is something on it.
TEST(Volume, DoesNotFormatADiskWithSomethingAtItsEnd) {
  std::vector<std::byte> image(kSize);
  image[kSize - 500] = std::byte{1};
  RecordingDisk disk(image);
  MountedVolume volume(disk);
  EXPECT_EQ(volume.result(), EINVAL);
  EXPECT_EQ(disk.events(), 0u);
}

TEST(Volume, RefusesWhatItDoesNotKnow) {
  RecordingDisk other(std::vector<std::byte>(kSize, std::byte{0x5a}));
  MountedVolume volume(other);
  EXPECT_EQ(volume.result(), EINVAL);
  EXPECT_EQ(volume->report(), "there is something else than ext4 on the disk; it stays as it is");
  EXPECT_EQ(other.events(), 0u);
}

}  // namespace
}  // namespace ext4
