#include "guest-kernel/lib/page_allocator.h"

#include <algorithm>
#include <bit>

namespace guest {
namespace {

constexpr std::uint64_t kAll = ~std::uint64_t{0};

// Bits [from, from + count) of a word; count ≥ 1.
std::uint64_t mask(std::uint64_t from, std::uint64_t count) {
  return (count >= 64 ? kAll : (std::uint64_t{1} << count) - 1) << from;
}

}  // namespace

PageAllocator::PageAllocator(std::span<std::uint64_t> bitmap, std::uint64_t pages)
    : bitmap_(bitmap), pages_(std::min(pages, std::uint64_t{bitmap.size()} * 64)), free_(pages_) {}

std::uint64_t PageAllocator::first_used(std::uint64_t first, std::uint64_t count) const {
  const std::uint64_t end = first + count;
  for (std::uint64_t page = first; page < end;) {
    const std::uint64_t run = std::min<std::uint64_t>(64 - page % 64, end - page);
    const std::uint64_t used = bitmap_[page / 64] & mask(page % 64, run);
    if (used != 0) {
      return page / 64 * 64 + static_cast<std::uint64_t>(std::countr_zero(used));
    }
    page += run;
  }
  return end;
}

std::uint64_t PageAllocator::first_free(std::uint64_t from) const {
  while (from < pages_) {
    const std::uint64_t candidates = ~bitmap_[from / 64] & (kAll << (from % 64));
    if (candidates != 0) {
      return std::min(from / 64 * 64 + static_cast<std::uint64_t>(std::countr_zero(candidates)),
                      pages_);
    }
    from = (from / 64 + 1) * 64;
  }
  return pages_;
}

void PageAllocator::mark(std::uint64_t first, std::uint64_t count, bool used) {
  const std::uint64_t end = first + count;
  for (std::uint64_t page = first; page < end;) {
    const std::uint64_t run = std::min<std::uint64_t>(64 - page % 64, end - page);
    const std::uint64_t bits = mask(page % 64, run);
    std::uint64_t& word = bitmap_[page / 64];
    word = used ? word | bits : word & ~bits;
    page += run;
  }
}

std::optional<std::uint64_t> PageAllocator::allocate(std::uint64_t count, std::uint64_t alignment) {
  if (count == 0 || count > free_ || !std::has_single_bit(alignment)) {
    return std::nullopt;
  }
  hint_ = first_free(hint_);
  for (std::uint64_t page = hint_;;) {
    page = (page + alignment - 1) & ~(alignment - 1);
    if (page > pages_ || count > pages_ - page) {
      return std::nullopt;
    }
    const std::uint64_t used = first_used(page, count);
    if (used == page + count) {
      mark(page, count, true);
      free_ -= count;
      hint_ = page == hint_ ? page + count : hint_;
      return page;
    }
    page = first_free(used);
  }
}

bool PageAllocator::reserve(std::uint64_t first, std::uint64_t count) {
  if (count == 0 || first > pages_ || count > pages_ - first ||
      first_used(first, count) != first + count) {
    return false;
  }
  mark(first, count, true);
  free_ -= count;
  return true;
}

bool PageAllocator::release(std::uint64_t first, std::uint64_t count) {
  if (count == 0 || first > pages_ || count > pages_ - first) {
    return false;
  }
  for (std::uint64_t page = first; page < first + count; ++page) {
    if ((bitmap_[page / 64] >> (page % 64) & 1) == 0) {
      return false;
    }
  }
  mark(first, count, false);
  free_ += count;
  hint_ = std::min(hint_, first);
  return true;
}

}  // namespace guest
