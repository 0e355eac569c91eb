#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/guest-kernel/ext4/volume_fixture.h"

// Thousands of power cuts: each leaves a disk that mounts, with everything that was committed and
// nothing half done.
namespace ext4 {
namespace {

using Tree = std::map<std::string, std::string>;

struct Milestone {
  std::size_t begun = 0;  // events when the commit was asked for
  std::size_t done = 0;   // and when it was confirmed
  Tree tree;
};

// Changes at random, as several programs would make them.
class Workload {
 public:
  Workload(Volume& volume, unsigned seed) : volume_(volume), random_(seed) {}

  void step() {
    volume_.begin_request(kNow);
    const unsigned kind = random_() % 10;
    if (kind < 3 || files_.empty()) {
      create();
    } else if (kind < 7) {
      write();
    } else if (kind == 7) {
      const File& file = any();
      EXPECT_EQ(volume_.truncate(file.inode, random_() % 60'000), 0);
    } else if (kind == 8) {
      rename();
    } else {
      remove();
    }
  }

 private:
  struct File {
    std::string name;
    ext2_ino_t inode;
  };
  File& any() { return files_[random_() % files_.size()]; }

  void create() {
    InodeRecord what{};
    what.mode = 0100600;
    File file{"f" + std::to_string(next_++), 0};
    ASSERT_EQ(volume_.create(kRootInode, file.name, what, {}, file.inode), 0);
    files_.push_back(file);
  }
  void write() {
    std::string bytes(1 + random_() % 30'000, static_cast<char>('a' + random_() % 26));
    if (random_() % 3 == 0) {
      const Big32 magic = kJournalMagic;  // data that looks like the journal's own
      bytes.resize(4096 * 3);
      for (std::size_t at = 0; at < bytes.size(); at += 4096) {
        std::memcpy(bytes.data() + at, &magic, sizeof(magic));
      }
    }
    ASSERT_EQ(write_bytes(volume_, any().inode, random_() % 10 * 4096, bytes_of(bytes)), 0);
  }
  void rename() {
    File& from = any();
    File& to = any();
    if (from.inode == to.inode) {
      return;
    }
    ASSERT_EQ(volume_.rename({kRootInode, from.inode, kRootInode, to.inode, 0}, from.name, to.name),
              0);
    ASSERT_EQ(volume_.release(to.inode), 0);
    to.inode = from.inode;
    std::swap(from, files_.back());
    files_.pop_back();
  }
  void remove() {
    File& file = any();
    ASSERT_EQ(volume_.remove(kRootInode, file.name, file.inode), 0);
    if (random_() % 2 == 0) {
      ASSERT_EQ(volume_.release(file.inode), 0);
    }  // else it stays open until the power cut
    std::swap(file, files_.back());
    files_.pop_back();
  }

  Volume& volume_;
  Random random_;
  std::vector<File> files_;
  int next_ = 0;
};

void expect_sound(const RecordingDisk& disk, const std::vector<Milestone>& milestones,
                  std::size_t cut, unsigned seed, bool ask_e2fsck) {
  Random random(seed);
  RecordingDisk after(disk.after_cut(cut, random));
  after.recording = false;
  if (ask_e2fsck) {
    // The stock tool's own replay finds nothing to mend but what was open.
    const CommandResult own = check_image(after.image(), "-fy");
    EXPECT_LE(own.code, 1) << "cut " << cut << " seed " << seed << "\n" << own.output;
  }
  {
    MountedVolume volume(after);
    ASSERT_EQ(volume.result(), 0) << volume->report() << " cut " << cut << " seed " << seed;
    ASSERT_FALSE(volume->is_read_only());
    std::size_t last = 0;
    while (last + 1 < milestones.size() && milestones[last + 1].done <= cut) {
      ++last;
    }
    const Tree found = tree_of(*volume);
    const bool is_next = last + 1 < milestones.size() && milestones[last + 1].begun <= cut &&
                         found == milestones[last + 1].tree;
    EXPECT_TRUE(found == milestones[last].tree || is_next)
        << "cut " << cut << " seed " << seed << ": " << found.size() << " names, expected "
        << milestones[last].tree.size();
    EXPECT_EQ(volume->unmount(), 0);
  }
  if (ask_e2fsck) {
    const CommandResult check = check_image(after.image());
    EXPECT_EQ(check.code, 0) << "cut " << cut << " seed " << seed << "\n" << check.output;
  }
}

TEST(PowerCut, WhatWasCommittedSurvivesACutAtAnyWrite) {
  const char* wanted = std::getenv("ENSEMBLE_POWER_CUTS");
  const unsigned cuts = wanted == nullptr ? 160 : static_cast<unsigned>(std::atoi(wanted));
  for (unsigned round = 0; round < 4; ++round) {
    RecordingDisk blank(16 * 1024 * 1024);
    {
      MountedVolume volume(blank);
      ASSERT_EQ(volume.result(), 0);
      ASSERT_EQ(volume->unmount(), 0);
    }
    RecordingDisk disk(blank.image());
    std::vector<Milestone> milestones;
    {
      MountedVolume volume(disk);
      ASSERT_EQ(volume.result(), 0);
      milestones.push_back({0, 0, tree_of(*volume)});
      Random random(round);
      Workload workload(*volume, 100 + round);
      for (int commit = 0; commit < 120; ++commit) {
        for (unsigned steps = 1 + random() % 6; steps != 0; --steps) {
          workload.step();
        }
        Milestone milestone{disk.events(), 0, tree_of(*volume)};
        ASSERT_EQ(volume->commit(), 0);
        milestone.done = disk.events();
        milestones.push_back(std::move(milestone));
      }
    }
    Random random(1000 + round);
    for (unsigned i = 0; i < cuts / 4 && !HasFailure(); ++i) {
      expect_sound(disk, milestones, random() % (disk.events() + 1), random(), i % 8 == 0);
    }
  }
}

TEST(PowerCut, ADiskThatIsBeingFormattedIsFormattedAgain) {
  RecordingDisk disk(16 * 1024 * 1024);
  {
    MountedVolume volume(disk);
    ASSERT_EQ(volume.result(), 0);
  }
  Random random(5);
  for (int i = 0; i < 60; ++i) {
    const std::size_t cut = random() % (disk.events() + 1);
    RecordingDisk after(disk.after_cut(cut, random));
    MountedVolume volume(after);
    ASSERT_EQ(volume.result(), 0) << volume->report() << " cut " << cut;
    ASSERT_EQ(volume->unmount(), 0);
    const CommandResult check = check_image(after.image());
    EXPECT_EQ(check.code, 0) << check.output;
  }
}

}  // namespace
}  // namespace ext4
