#include "guest-kernel/linux/server/frame_allocator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

namespace linux_server {
namespace {

constexpr std::uint64_t kPage = FrameAllocator::kPage;
constexpr std::uint64_t kBlock = FrameAllocator::kBlock;

class FrameAllocatorTest : public testing::Test {
 protected:
  bool is_zero(std::uint64_t offset, std::uint64_t size) const {
    return std::all_of(memory_.begin() + static_cast<std::ptrdiff_t>(offset),
                       memory_.begin() + static_cast<std::ptrdiff_t>(offset + size),
                       [](std::byte byte) { return byte == std::byte{}; });
  }

  std::vector<std::byte> memory_ = std::vector<std::byte>(4 * kBlock);
};

TEST_F(FrameAllocatorTest, LargeBlocksAreAlignedBehindTheSkew) {
  constexpr std::uint64_t kSkew = 3 * kPage;
  FrameAllocator allocator(memory_.data(), memory_.size(), kSkew);
  for (int count = 0; count < 3; ++count) {
    const std::uint64_t block = allocator.allocate(kBlock);
    ASSERT_NE(block, FrameAllocator::kNone);
    EXPECT_EQ(block % kBlock, kSkew);
  }
  EXPECT_EQ(allocator.allocate(kBlock), FrameAllocator::kNone);
}

TEST_F(FrameAllocatorTest, HandsOutEveryPageOnce) {
  FrameAllocator allocator(memory_.data(), memory_.size(), 5 * kPage);
  const std::uint64_t total = allocator.total() / kPage;
  std::vector<std::uint64_t> pages;
  for (std::uint64_t page; (page = allocator.allocate(kPage)) != FrameAllocator::kNone;) {
    pages.push_back(page);
  }
  EXPECT_EQ(pages.size(), total);
  EXPECT_EQ(allocator.available(), 0u);
  std::sort(pages.begin(), pages.end());
  EXPECT_EQ(std::adjacent_find(pages.begin(), pages.end()), pages.end());
  EXPECT_LE(pages.back() + kPage, memory_.size());
  for (const std::uint64_t page : pages) {
    allocator.free(page, kPage);
  }
  EXPECT_EQ(allocator.available(), allocator.total());
  EXPECT_NE(allocator.allocate(kBlock), FrameAllocator::kNone);
}

TEST_F(FrameAllocatorTest, MemoryThatComesBackIsZero) {
  FrameAllocator allocator(memory_.data(), memory_.size(), 0);
  const std::uint64_t run = allocator.allocate(8 * kPage);
  std::memset(memory_.data() + run, 0xff, 8 * kPage);
  allocator.free(run + 2 * kPage, 3 * kPage);
  const std::uint64_t again = allocator.allocate(3 * kPage);
  EXPECT_EQ(again, run + 2 * kPage);
  EXPECT_TRUE(is_zero(again, 3 * kPage));
  EXPECT_FALSE(is_zero(run, kPage));
}

TEST_F(FrameAllocatorTest, RefusesWhatDoesNotFit) {
  FrameAllocator allocator(memory_.data(), memory_.size(), 0);
  EXPECT_EQ(allocator.allocate(0), FrameAllocator::kNone);
  EXPECT_EQ(allocator.allocate(kBlock + kPage), FrameAllocator::kNone);
  FrameAllocator none(memory_.data(), kPage, 0);
  EXPECT_EQ(none.allocate(kPage), FrameAllocator::kNone);
}

TEST_F(FrameAllocatorTest, WhatCameBackServesBeforeFreshMemory) {
  FrameAllocator allocator(memory_.data(), memory_.size(), 0);
  constexpr std::uint64_t kRun = 300 * kPage;
  const std::uint64_t first = allocator.allocate(kRun);
  const std::uint64_t second = allocator.allocate(kRun);
  ASSERT_NE(first / kBlock, second / kBlock);
  allocator.free(first, kRun);
  EXPECT_EQ(allocator.allocate(kRun), first);
  const std::uint64_t block = allocator.allocate(kBlock);
  allocator.free(block, kBlock);
  EXPECT_EQ(allocator.allocate(kBlock), block);
}

TEST_F(FrameAllocatorTest, UpperBlocksComeFromTheEnd) {
  FrameAllocator allocator(memory_.data(), memory_.size(), 0);
  const std::uint64_t page = allocator.allocate(kPage);
  EXPECT_EQ(allocator.allocate_upper_block(), 3 * kBlock);
  EXPECT_EQ(allocator.allocate_upper_block(), 2 * kBlock);
  std::memset(memory_.data() + 3 * kBlock, 0xff, kBlock);
  allocator.free(3 * kBlock, kBlock);
  EXPECT_EQ(allocator.allocate_upper_block(), 3 * kBlock);
  EXPECT_TRUE(is_zero(3 * kBlock, kBlock));
  EXPECT_EQ(allocator.allocate(kBlock), kBlock);
  EXPECT_EQ(allocator.allocate_upper_block(), FrameAllocator::kNone);
  EXPECT_EQ(allocator.allocate(kPage), page + kPage);
}

TEST_F(FrameAllocatorTest, WhatNobodyCouldSeeIsNotCleared) {
  FrameAllocator allocator(memory_.data(), memory_.size(), 0);
  const std::uint64_t run = allocator.allocate(8 * kPage);
  allocator.free_unseen(run, 8 * kPage);
  memory_[run] = std::byte{1};
  EXPECT_EQ(allocator.allocate(8 * kPage), run);
  EXPECT_EQ(memory_[run], std::byte{1});
}

TEST_F(FrameAllocatorTest, FreeingTwiceCountsOnce) {
  FrameAllocator allocator(memory_.data(), memory_.size(), 0);
  const std::uint64_t page = allocator.allocate(kPage);
  allocator.free(page, kPage);
  allocator.free(page, kPage);
  EXPECT_EQ(allocator.available(), allocator.total());
}

TEST_F(FrameAllocatorTest, RunsNeverOverlap) {
  FrameAllocator allocator(memory_.data(), memory_.size(), 7 * kPage);
  std::mt19937 random(1);
  struct Run {
    std::uint64_t offset;
    std::uint64_t size;
    std::byte mark;
  };
  std::vector<Run> runs;
  for (int step = 0; step < 2000; ++step) {
    const bool upper = random() % 16 == 0;
    const std::uint64_t size = upper || random() % 16 == 0 ? kBlock : (1 + random() % 40) * kPage;
    const std::uint64_t offset = random() % 3 == 0 ? FrameAllocator::kNone
                                 : upper           ? allocator.allocate_upper_block()
                                                   : allocator.allocate(size);
    if (offset != FrameAllocator::kNone) {
      ASSERT_TRUE(is_zero(offset, size));
      const auto mark = static_cast<std::byte>(1 + step % 250);
      std::fill_n(memory_.begin() + static_cast<std::ptrdiff_t>(offset), size, mark);
      runs.push_back({offset, size, mark});
    } else if (!runs.empty()) {
      const std::size_t index = random() % runs.size();
      const Run run = runs[index];
      EXPECT_EQ(memory_[run.offset], run.mark);
      EXPECT_EQ(memory_[run.offset + run.size - 1], run.mark);
      allocator.free(run.offset, run.size);
      runs.erase(runs.begin() + static_cast<std::ptrdiff_t>(index));
    }
  }
}

}  // namespace
}  // namespace linux_server
