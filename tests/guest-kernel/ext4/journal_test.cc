#include "guest-kernel/ext4/journal.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/guest-kernel/ext4/recording_disk.h"

// The journal by itself, on a small log: a power cut after any write leaves the blocks of one
// commit.
namespace ext4 {
namespace {

constexpr std::uint32_t kBlock = 1024;
constexpr std::uint32_t kLog = 80;
constexpr std::uint32_t kDiskBlocks = 256;
constexpr std::uint64_t kFirstHome = 128;

using Blocks = std::vector<std::uint32_t>;  // what each block from kFirstHome on is filled with

std::vector<std::byte> blank_image() {
  std::vector<std::byte> image(std::size_t{kDiskBlocks} * kBlock);
  JournalSuperblock superblock{};
  superblock.header = {kJournalMagic, kSuperblockVersion2, 0};
  superblock.block_size = kBlock;
  superblock.block_count = kLog;
  superblock.first = 1;
  superblock.sequence = 1;
  superblock.users = 1;
  std::memcpy(image.data(), &superblock, sizeof(superblock));
  return image;
}

// A journal with what it needs.
class OpenJournal {
 public:
  explicit OpenJournal(Disk& disk)
      : memory_(std::size_t{256} * 1024),
        scratch_(std::size_t{2} * kBlock),
        revokes_(16),
        cache_(disk, memory_, kBlock),
        journal_(cache_, extents_, scratch_, revokes_) {}

  int start() {
    int failed = journal_.open();
    if (failed == 0 && journal_.needs_replay()) {
      failed = journal_.replay();
    }
    return failed != 0 ? failed : journal_.begin();
  }
  Journal& journal() { return journal_; }
  BlockCache& cache() { return cache_; }

  void fill(std::uint64_t index, std::uint32_t value) {
    std::array<std::uint32_t, kBlock / 4> words;
    words.fill(value);
    ASSERT_EQ(cache_.write((kFirstHome + index) * kBlock, words.data(), kBlock), 0);
  }

 private:
  std::vector<std::byte> memory_;
  std::vector<std::byte> scratch_;
  std::vector<Journal::Revoke> revokes_;
  std::array<JournalExtent, 2> extents_ = {{{0, 40}, {60, kLog - 40}}};
  BlockCache cache_;
  Journal journal_;
};

Blocks blocks_of(const std::vector<std::byte>& image) {
  Blocks blocks;
  for (std::uint64_t at = kFirstHome; at < kDiskBlocks; ++at) {
    std::array<std::uint32_t, kBlock / 4> words;
    std::memcpy(words.data(), image.data() + at * kBlock, kBlock);
    const bool is_even = std::all_of(words.begin(), words.end(),
                                     [&](std::uint32_t each) { return each == words[0]; });
    blocks.push_back(is_even ? words[0] : ~0u);
  }
  return blocks;
}

struct Commit {
  std::size_t begun = 0;
  std::size_t done = 0;
  Blocks blocks;
};

// Commits of many sizes; the larger ones take more than what is left of the log, with blocks that
// were committed before and are not in their places yet.
std::vector<Commit> make_commits(RecordingDisk& disk) {
  std::vector<Commit> commits = {{0, 0, Blocks(kDiskBlocks - kFirstHome)}};
  OpenJournal open(disk);
  EXPECT_EQ(open.start(), 0);
  Random random(3);
  std::uint32_t magic = 0;
  const Big32 raw = kJournalMagic;  // data that looks like the journal's own
  std::memcpy(&magic, &raw, sizeof(magic));
  for (std::uint32_t i = 1; i <= 60; ++i) {
    Blocks blocks = commits.back().blocks;
    const std::uint32_t count = i % 3 == 0 ? 50 + random() % 20 : 1 + random() % 12;
    for (std::uint32_t k = 0; k < count; ++k) {
      const std::size_t index = i % 3 == 0 ? k : random() % blocks.size();
      blocks[index] = random() % 8 == 0 ? magic : 1000 * i + k;
      open.fill(index, blocks[index]);
    }
    const std::size_t begun = disk.events();
    EXPECT_EQ(open.journal().commit(i), 0) << i;
    EXPECT_EQ(open.cache().dirty_count(), 0u);
    commits.push_back({begun, disk.events(), std::move(blocks)});
  }
  return commits;
}

TEST(Journal, APowerCutAfterAnyWriteLeavesOneCommit) {
  RecordingDisk disk(blank_image());
  const std::vector<Commit> commits = make_commits(disk);
  Random random(4);
  std::size_t last = 0;
  for (std::size_t cut = 0; cut <= disk.events() && !HasFailure(); ++cut) {
    while (last + 1 < commits.size() && commits[last + 1].done <= cut) {
      ++last;
    }
    for (int variant = 0; variant < 4; ++variant) {
      RecordingDisk after(disk.after_cut(cut, random));
      after.recording = false;
      if (commits[0].done == 0 && cut == 0) {
        continue;
      }
      ASSERT_EQ(OpenJournal(after).start(), 0) << "cut " << cut;
      const Blocks found = blocks_of(after.image());
      const bool is_next = last + 1 < commits.size() && commits[last + 1].begun <= cut &&
                           found == commits[last + 1].blocks;
      EXPECT_TRUE(found == commits[last].blocks || is_next) << "cut " << cut;
    }
  }
}

TEST(Journal, EndPutsEverythingInItsPlace) {
  RecordingDisk disk(blank_image());
  OpenJournal open(disk);
  ASSERT_EQ(open.start(), 0);
  open.fill(5, 77);
  ASSERT_EQ(open.journal().commit(1), 0);
  EXPECT_EQ(blocks_of(disk.image())[5], 0u);
  ASSERT_EQ(open.journal().end(), 0);
  EXPECT_EQ(blocks_of(disk.image())[5], 77u);
  OpenJournal again(disk);
  ASSERT_EQ(again.journal().open(), 0);
  EXPECT_FALSE(again.journal().needs_replay());
}

// Its log may be whole in a cache, and not after a power cut.
TEST(Journal, ACommitWhoseFlushFailedIsUndone) {
  RecordingDisk disk(blank_image());
  OpenJournal open(disk);
  ASSERT_EQ(open.start(), 0);
  open.fill(5, 1);
  ASSERT_EQ(open.journal().commit(1), 0);
  open.fill(5, 2);
  open.fill(6, 2);
  disk.flushes_left = 0;
  ASSERT_EQ(open.journal().commit(2), EIO);
  open.cache().clear();
  EXPECT_EQ(open.journal().recover(), EIO);
  disk.flushes_left = 1;
  ASSERT_EQ(open.journal().recover(), 0);
  EXPECT_EQ(blocks_of(disk.image())[5], 1u);
  EXPECT_EQ(blocks_of(disk.image())[6], 0u);
}

TEST(Journal, APowerCutWhileALogFromACacheIsReplayedLeavesOneCommit) {
  constexpr std::size_t kCount = 20;
  RecordingDisk disk(blank_image());
  std::size_t begun = 0;
  {
    OpenJournal open(disk);
    ASSERT_EQ(open.start(), 0);
    for (std::size_t i = 0; i < kCount; ++i) {
      open.fill(i, 2);
    }
    begun = disk.events();
    disk.flushes_left = 0;
    ASSERT_EQ(open.journal().commit(1), EIO);
    disk.flushes_left = ~std::size_t{0};
  }
  // Who is killed in the middle of a commit leaves this.
  ASSERT_EQ(OpenJournal(disk).start(), 0);
  Random random(6);
  for (std::size_t cut = begun; cut <= disk.events(); ++cut) {
    for (int variant = 0; variant < 8; ++variant) {
      RecordingDisk after(disk.after_cut(cut, random));
      ASSERT_EQ(OpenJournal(after).start(), 0) << "cut " << cut;
      const Blocks found = blocks_of(after.image());
      ASSERT_TRUE(found[0] == 0 || found[0] == 2);
      ASSERT_EQ(std::count(found.begin(), found.begin() + kCount, found[0]), std::ptrdiff_t{kCount})
          << "cut " << cut;
    }
  }
}

// What fsync costs: one flush, and one write for blocks that follow one another in the log.
TEST(Journal, ACommitIsOneFlush) {
  RecordingDisk disk(blank_image());
  OpenJournal open(disk);
  ASSERT_EQ(open.start(), 0);
  const std::size_t before = disk.events();
  open.fill(5, 1);
  open.fill(50, 2);
  ASSERT_EQ(open.journal().commit(1), 0);
  // A descriptor, two blocks, the commit block.
  EXPECT_EQ(disk.events() - before, 4u + 1u);
}

TEST(Journal, ATransactionIsThereWholeOrNotAtAll) {
  for (std::uint64_t damaged = 1; damaged <= 4; ++damaged) {
    RecordingDisk disk(blank_image());
    {
      OpenJournal open(disk);
      ASSERT_EQ(open.start(), 0);
      open.fill(5, 1);
      open.fill(50, 2);
      ASSERT_EQ(open.journal().commit(1), 0);
    }
    std::vector<std::byte> image = disk.image();
    image[damaged * kBlock + 40] ^= std::byte{1};
    RecordingDisk after(image);
    ASSERT_EQ(OpenJournal(after).start(), 0);
    // The commit block's bytes after its checksum say only when.
    const bool is_whole = damaged == 4;
    EXPECT_EQ(blocks_of(after.image())[5], is_whole ? 1u : 0u) << damaged;
    EXPECT_EQ(blocks_of(after.image())[50], is_whole ? 2u : 0u) << damaged;
  }
}

}  // namespace
}  // namespace ext4
