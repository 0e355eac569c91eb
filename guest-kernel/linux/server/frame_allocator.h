#pragma once

#include <cstddef>
#include <cstdint>

namespace linux_server {

// Hands out pages of the server's memory region, which it sees as offsets: what came back first, so
// that a machine touches no more memory than it uses. Memory that was never handed out is known to
// be zero and is not looked at until then: the allocator touches its notes on a 2 MiB block only
// when the block is first used. A page may have several owners: it is free again when each has
// freed it.
class FrameAllocator {
 public:
  static constexpr std::uint64_t kPage = 4096;
  static constexpr std::uint64_t kBlock = 2 * 1024 * 1024;

  // `memory`: where the region is mapped for the server; its first bytes become the allocator's
  // notes. `size`: of the region. `skew`: distance from the region's start to its first physical
  // address that is a multiple of 2 MiB.
  FrameAllocator(std::byte* memory, std::uint64_t size, std::uint64_t skew);

  // A contiguous run of pages that read as zero. `size`: a multiple of the page size, at most
  // kBlock. A whole block is aligned so that it can be one large page. kNone: no memory.
  std::uint64_t allocate(std::uint64_t size) { return allocate(size, true); }
  // The same, with whatever the pages hold: for memory that is written to before it is shown.
  std::uint64_t allocate_uncleared(std::uint64_t size) { return allocate(size, false); }
  // A whole block from the end of the region, as allocate(kBlock): for those who use much, since
  // the host may back the upper part of memory by large pages (docs/machine.md).
  std::uint64_t allocate_upper_block();
  // One owner more for each page of a part of a run. False: a page has too many; nothing changed.
  [[nodiscard]] bool share(std::uint64_t offset, std::uint64_t size);
  // Whether a page of the range has more than one owner.
  bool is_shared(std::uint64_t offset, std::uint64_t size) const;
  // One owner less for pages of runs that allocate() returned; a part of a run will do.
  void free(std::uint64_t offset, std::uint64_t size);

  // Frees a run that nobody has been able to look at since it was allocated.
  void free_unseen(std::uint64_t offset, std::uint64_t size);

  std::uint64_t total() const { return total_pages_ * kPage; }
  std::uint64_t available() const { return free_pages_ * kPage; }

  static constexpr std::uint64_t kNone = ~std::uint64_t{0};

 private:
  static constexpr unsigned kPagesPerBlock = kBlock / kPage;
  static constexpr unsigned kWords = kPagesPerBlock / 64;

  // Notes on one block, one bit a page.
  struct Block {
    std::uint64_t used[kWords];
    std::uint64_t dirty[kWords];  // may hold old contents
    std::uint16_t further_owners[kPagesPerBlock];
    std::uint32_t free;  // pages, once the block is open
  };

  // Block 0 may start before the region does: its missing pages are marked used.
  std::uint64_t page_offset(std::uint64_t block, unsigned page) const {
    return base_ + block * kBlock + page * kPage;
  }
  std::uint64_t block_of(std::uint64_t offset) const { return (offset - base_) / kBlock; }
  unsigned page_of(std::uint64_t offset) const {
    return static_cast<unsigned>((offset - base_) % kBlock / kPage);
  }
  bool exists(std::uint64_t offset) const { return offset >= notes_end_ && offset < size_; }
  bool is_whole(std::uint64_t block) const {
    return exists(page_offset(block, 0)) && exists(page_offset(block, kPagesPerBlock - 1));
  }
  bool is_fresh(std::uint64_t block) const { return block >= fresh_block_ && block < fresh_end_; }
  void open(std::uint64_t block);
  std::uint64_t allocate(std::uint64_t size, bool cleared);
  std::uint64_t take(std::uint64_t block, unsigned first, unsigned count, bool cleared);
  std::uint64_t allocate_block(bool cleared);
  std::uint64_t find_used_block(std::uint64_t first, bool cleared);
  std::uint64_t find_used_run(unsigned count, bool cleared);

  std::byte* memory_;
  Block* blocks_;
  std::uint64_t base_;       // offset of block 0, modulo 2^64
  std::uint64_t notes_end_;  // offset of the first page that may be handed out
  std::uint64_t size_;
  std::uint64_t block_count_;
  std::uint64_t fresh_block_ = 0;   // blocks from here on were never used,
  std::uint64_t fresh_end_;         // up to this one
  std::uint64_t open_block_ = 0;    // where small runs are looked for first
  std::uint64_t lowest_free_ = 0;   // no block in front of this one has a free page
  std::uint64_t empty_blocks_ = 0;  // that have been used before
  std::uint64_t total_pages_;
  std::uint64_t free_pages_;
};

}  // namespace linux_server
