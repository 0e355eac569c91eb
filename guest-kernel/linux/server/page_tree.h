#pragma once

#include <cstdint>

namespace linux_server {

// The pages of a file that is in memory: a tree of the memory pool's pages by index, with holes. It
// has one share of each.
class PageTree {
 public:
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};
  static constexpr std::uint64_t kPage = 4096;
  // Pages that a file of 2^63 − 1 bytes has.
  static constexpr std::uint64_t kMaximumIndex = (std::uint64_t{1} << 51) - 1;

  PageTree() = default;
  PageTree(const PageTree&) = delete;
  PageTree& operator=(const PageTree&) = delete;
  ~PageTree() { remove(0, kMaximumIndex); }

  // The page at `index` (≤ kMaximumIndex) as an offset in the pool, or kNone.
  std::uint64_t find(std::uint64_t index) const;
  // As find(), but a hole gets a page, of zeroes if `zero` is set. kNone: no memory.
  std::uint64_t make(std::uint64_t index, bool zero = true);
  // Frees the pages first … last.
  void remove(std::uint64_t first, std::uint64_t last);
  // The first index from `from` on that has a page, or has none; kNone: there is none up to the
  // last page.
  std::uint64_t next_present(std::uint64_t from) const;
  std::uint64_t next_hole(std::uint64_t from) const;
  std::uint64_t count() const { return count_; }

 private:
  struct Level;
  bool raise(std::uint64_t index);
  std::uint64_t* reach(std::uint64_t index);
  static constexpr unsigned kShift = 6;
  static constexpr std::uint64_t kWidth = 1 << kShift;

  bool covers(std::uint64_t index) const;
  static void remove_in(std::uint64_t& slot, unsigned height, std::uint64_t base,
                        std::uint64_t first, std::uint64_t last, std::uint64_t& count);
  static std::uint64_t present_in(std::uint64_t slot, unsigned height, std::uint64_t base,
                                  std::uint64_t from);

  // A slot is 0, an address of a Level, or, at height 0, a page's offset + 1.
  std::uint64_t root_ = 0;
  unsigned height_ = 0;
  std::uint64_t count_ = 0;
};

// What files in memory may use and do use, in pages of 4 KiB, all together.
std::uint64_t file_memory_limit();
std::uint64_t file_memory_used();
// Memory of theirs that is no page. False: there is not so much left. Bytes.
[[nodiscard]] bool take_file_memory(std::uint64_t size);
void give_back_file_memory(std::uint64_t size);

}  // namespace linux_server
