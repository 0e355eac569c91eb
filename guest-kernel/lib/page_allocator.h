#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace guest {

// Which pages of a region are free: a bitmap in memory that the caller provides, one bit per page.
// Bookkeeping only: pages are mapped straight out of the region by their offset. Not thread-safe.
class PageAllocator {
 public:
  // Words of bitmap that `pages` pages need.
  static constexpr std::size_t words_for(std::uint64_t pages) { return (pages + 63) / 64; }

  PageAllocator() = default;
  // All pages are free. `bitmap` holds words_for(pages) zeroed words and outlives the allocator.
  PageAllocator(std::span<std::uint64_t> bitmap, std::uint64_t pages);

  // `count` pages in a row whose first index is a multiple of `alignment` (a power of two).
  std::optional<std::uint64_t> allocate(std::uint64_t count = 1, std::uint64_t alignment = 1);
  // Marks pages that are in use from elsewhere. False if they are out of range or not all free.
  bool reserve(std::uint64_t first, std::uint64_t count);
  // False, and nothing is done, if they are out of range or not all in use.
  bool release(std::uint64_t first, std::uint64_t count = 1);

  std::uint64_t total_pages() const { return pages_; }
  std::uint64_t free_pages() const { return free_; }

 private:
  // First used page in [first, first + count), or `first + count`.
  std::uint64_t first_used(std::uint64_t first, std::uint64_t count) const;
  std::uint64_t first_free(std::uint64_t from) const;
  void mark(std::uint64_t first, std::uint64_t count, bool used);

  std::span<std::uint64_t> bitmap_;
  std::uint64_t pages_ = 0;
  std::uint64_t free_ = 0;
  std::uint64_t hint_ = 0;  // no page below is free
};

}  // namespace guest
