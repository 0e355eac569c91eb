#include "guest-kernel/linux/server/frame_allocator.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace linux_server {
namespace {

constexpr unsigned kNoRun = ~0u;

bool test(const std::uint64_t* bits, unsigned index) {
  return ((bits[index / 64] >> (index % 64)) & 1) != 0;
}
void set(std::uint64_t* bits, unsigned index) {
  bits[index / 64] |= std::uint64_t{1} << (index % 64);
}
void clear(std::uint64_t* bits, unsigned index) {
  bits[index / 64] &= ~(std::uint64_t{1} << (index % 64));
}

// First run of `count` clear bits among `size`, a multiple of 64.
unsigned find_run(const std::uint64_t* bits, unsigned size, unsigned count) {
  constexpr unsigned kBits = 64;
  unsigned length = 0;
  for (unsigned index = 0; index < size;) {
    const unsigned left = kBits - index % kBits;
    const std::uint64_t word = bits[index / kBits] >> (index % kBits);
    const unsigned clear = std::min(static_cast<unsigned>(std::countr_zero(word)), left);
    length += clear;
    index += clear;
    if (length >= count) {
      return index - length;
    }
    if (clear < left) {
      index += std::min(static_cast<unsigned>(std::countr_one(word >> clear)), left - clear);
      length = 0;
    }
  }
  return kNoRun;
}

// Calls `each(notes, page)` for `count` pages from `page` of the first block on.
template <typename Block, typename Each>
void for_pages(Block* notes, unsigned page, std::uint64_t count, Each each) {
  constexpr unsigned kPages = FrameAllocator::kBlock / FrameAllocator::kPage;
  for (; count != 0; page = 0, ++notes) {
    const auto last = static_cast<unsigned>(std::min<std::uint64_t>(page + count, kPages));
    count -= last - page;
    for (; page < last; ++page) {
      each(*notes, page);
    }
  }
}

}  // namespace

FrameAllocator::FrameAllocator(std::byte* memory, std::uint64_t size, std::uint64_t skew)
    : memory_(memory),
      blocks_(reinterpret_cast<Block*>(memory)),
      base_(skew == 0 ? 0 : skew - kBlock),
      size_(size & ~(kPage - 1)) {
  block_count_ = (size_ - base_ + kBlock - 1) / kBlock;
  notes_end_ = (block_count_ * sizeof(Block) + kPage - 1) & ~(kPage - 1);
  fresh_end_ = block_count_;
  total_pages_ = size_ > notes_end_ ? (size_ - notes_end_) / kPage : 0;
  free_pages_ = total_pages_;
}

void FrameAllocator::open(std::uint64_t block) {
  Block& notes = blocks_[block];
  notes.free = kPagesPerBlock;
  if (is_whole(block)) {
    ++empty_blocks_;
    return;
  }
  for (unsigned page = 0; page < kPagesPerBlock; ++page) {
    if (!exists(page_offset(block, page))) {
      set(notes.used, page);
      --notes.free;
    }
  }
}

std::uint64_t FrameAllocator::take(std::uint64_t block, unsigned first, unsigned count,
                                   bool cleared) {
  Block& notes = blocks_[block];
  for (unsigned page = first; page < first + count; ++page) {
    if (cleared && test(notes.dirty, page)) {
      std::memset(memory_ + page_offset(block, page), 0, kPage);
    }
    set(notes.used, page);
    set(notes.dirty, page);
  }
  empty_blocks_ -= notes.free == kPagesPerBlock ? 1 : 0;
  notes.free -= count;
  free_pages_ -= count;
  return page_offset(block, first);
}

std::uint64_t FrameAllocator::find_used_block(std::uint64_t first, bool cleared) {
  if (empty_blocks_ == 0) {
    return kNone;
  }
  for (std::uint64_t block = std::max(first, lowest_free_); block < block_count_; ++block) {
    if (is_fresh(block)) {
      block = fresh_end_ - 1;
    } else if (blocks_[block].free == kPagesPerBlock) {
      return take(block, 0, kPagesPerBlock, cleared);
    }
  }
  return kNone;
}

std::uint64_t FrameAllocator::allocate_block(bool cleared) {
  if (const std::uint64_t used = find_used_block(0, cleared); used != kNone) {
    return used;
  }
  while (fresh_block_ < fresh_end_) {
    const std::uint64_t block = fresh_block_++;
    open(block);
    if (is_whole(block)) {
      return take(block, 0, kPagesPerBlock, cleared);
    }
  }
  return kNone;
}

std::uint64_t FrameAllocator::allocate_upper_block() {
  if (const std::uint64_t used = find_used_block(fresh_end_, true); used != kNone) {
    return used;
  }
  while (fresh_block_ < fresh_end_) {
    const std::uint64_t block = --fresh_end_;
    open(block);
    if (is_whole(block)) {
      return take(block, 0, kPagesPerBlock, true);
    }
  }
  return find_used_block(0, true);
}

// The first run that fits in a block that has been used before; its block is the open one then.
std::uint64_t FrameAllocator::find_used_run(unsigned count, bool cleared) {
  for (std::uint64_t block = lowest_free_; block < block_count_; ++block) {
    if (is_fresh(block)) {
      block = fresh_end_ - 1;
      continue;
    }
    const Block& notes = blocks_[block];
    lowest_free_ += block == lowest_free_ && notes.free == 0 ? 1 : 0;
    const unsigned run = notes.free >= count ? find_run(notes.used, kPagesPerBlock, count) : kNoRun;
    if (run != kNoRun) {
      open_block_ = block;
      return take(block, run, count, cleared);
    }
  }
  return kNone;
}

std::uint64_t FrameAllocator::allocate(std::uint64_t size, bool cleared) {
  const std::uint64_t pages = (size + kPage - 1) / kPage;
  if (pages == 0 || pages > kPagesPerBlock || pages > free_pages_) {
    return kNone;
  }
  if (pages == kPagesPerBlock) {
    return allocate_block(cleared);
  }
  const auto count = static_cast<unsigned>(pages);
  if (!is_fresh(open_block_) && blocks_[open_block_].free >= count) {
    const unsigned run = find_run(blocks_[open_block_].used, kPagesPerBlock, count);
    if (run != kNoRun) {
      return take(open_block_, run, count, cleared);
    }
  }
  if (const std::uint64_t used = find_used_run(count, cleared); used != kNone) {
    return used;
  }
  while (fresh_block_ < fresh_end_) {
    open_block_ = fresh_block_++;
    open(open_block_);
    const unsigned run = find_run(blocks_[open_block_].used, kPagesPerBlock, count);
    if (run != kNoRun) {
      return take(open_block_, run, count, cleared);
    }
  }
  return kNone;
}

bool FrameAllocator::share(std::uint64_t offset, std::uint64_t size) {
  constexpr std::uint16_t kMost = 0xffff;
  bool possible = true;
  for_pages(&blocks_[block_of(offset)], page_of(offset), (size + kPage - 1) / kPage,
            [&possible](const Block& notes, unsigned page) {
              possible = possible && notes.further_owners[page] != kMost;
            });
  if (possible) {
    for_pages(&blocks_[block_of(offset)], page_of(offset), (size + kPage - 1) / kPage,
              [](Block& notes, unsigned page) { ++notes.further_owners[page]; });
  }
  return possible;
}

bool FrameAllocator::is_shared(std::uint64_t offset, std::uint64_t size) const {
  bool shared = false;
  for_pages(&blocks_[block_of(offset)], page_of(offset), (size + kPage - 1) / kPage,
            [&shared](const Block& notes, unsigned page) {
              shared = shared || notes.further_owners[page] != 0;
            });
  return shared;
}

void FrameAllocator::free_unseen(std::uint64_t offset, std::uint64_t size) {
  for_pages(&blocks_[block_of(offset)], page_of(offset), (size + kPage - 1) / kPage,
            [](Block& notes, unsigned page) { clear(notes.dirty, page); });
  free(offset, size);
}

void FrameAllocator::free(std::uint64_t offset, std::uint64_t size) {
  lowest_free_ = std::min(lowest_free_, block_of(offset));
  for_pages(&blocks_[block_of(offset)], page_of(offset), (size + kPage - 1) / kPage,
            [this](Block& notes, unsigned page) {
              if (notes.further_owners[page] != 0) {
                --notes.further_owners[page];
              } else if (test(notes.used, page)) {
                clear(notes.used, page);
                ++notes.free;
                empty_blocks_ += notes.free == kPagesPerBlock ? 1 : 0;
                ++free_pages_;
              }
            });
}

}  // namespace linux_server
