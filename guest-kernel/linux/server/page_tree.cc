#include "guest-kernel/linux/server/page_tree.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "guest-kernel/linux/server/memory_pool.h"

namespace linux_server {
namespace {

constinit std::uint64_t used = 0;  // bytes

}  // namespace

struct PageTree::Level {
  // Null: no memory, or files have all that they may.
  static Level* make() {
    if (!take_file_memory(sizeof(Level))) {
      return nullptr;
    }
    auto* const level = new (std::nothrow) Level();
    if (level == nullptr) {
      give_back_file_memory(sizeof(Level));
    }
    return level;
  }
  static void release(Level* level) {
    delete level;
    give_back_file_memory(sizeof(Level));
  }

  std::uint64_t slots[kWidth] = {};
};

std::uint64_t file_memory_limit() {
  return memory_pool().total() / PageTree::kPage / 2;
}
std::uint64_t file_memory_used() {
  return (used + PageTree::kPage - 1) / PageTree::kPage;
}
bool take_file_memory(std::uint64_t size) {
  const bool possible = used + size <= file_memory_limit() * PageTree::kPage;
  used += possible ? size : 0;
  return possible;
}
void give_back_file_memory(std::uint64_t size) {
  used -= size;
}

bool PageTree::covers(std::uint64_t index) const {
  const unsigned bits = height_ * kShift;
  return bits >= 64 || index >> bits == 0;
}

std::uint64_t PageTree::find(std::uint64_t index) const {
  if (!covers(index)) {
    return kNone;
  }
  std::uint64_t slot = root_;
  for (unsigned height = height_; height != 0 && slot != 0; --height) {
    const auto* level = reinterpret_cast<const Level*>(slot);
    slot = level->slots[index >> ((height - 1) * kShift) & (kWidth - 1)];
  }
  return slot == 0 ? kNone : slot - 1;
}

std::uint64_t PageTree::make(std::uint64_t index, bool zero) {
  if (const std::uint64_t found = find(index); found != kNone) {
    return found;
  }
  if (!take_file_memory(kPage)) {
    return kNone;
  }
  // The page first, so that no levels are made for one that there is not.
  const std::uint64_t offset = memory_pool().allocate_for_program(kPage);
  std::uint64_t* const slot = offset == MemoryPool::kNone || !raise(index) ? nullptr : reach(index);
  if (slot == nullptr) {
    if (offset != MemoryPool::kNone) {
      memory_pool().free(offset, kPage);
      remove(index, index);  // levels that were made for it
    }
    give_back_file_memory(kPage);
    return kNone;
  }
  if (zero) {
    std::memset(memory_pool().at(offset), 0, kPage);
  }
  *slot = offset + 1;
  ++count_;
  return offset;
}

// Makes the tree high enough for `index`.
bool PageTree::raise(std::uint64_t index) {
  while (!covers(index)) {
    if (root_ != 0) {
      Level* const level = Level::make();
      if (level == nullptr) {
        return false;
      }
      level->slots[0] = root_;
      root_ = reinterpret_cast<std::uint64_t>(level);
    }
    ++height_;
  }
  return true;
}

// The slot of the page, with the levels on the way to it. Null: no memory.
std::uint64_t* PageTree::reach(std::uint64_t index) {
  std::uint64_t* slot = &root_;
  for (unsigned height = height_; height != 0; --height) {
    if (*slot == 0) {
      *slot = reinterpret_cast<std::uint64_t>(Level::make());
      if (*slot == 0) {
        return nullptr;
      }
    }
    auto* level = reinterpret_cast<Level*>(*slot);
    slot = &level->slots[index >> ((height - 1) * kShift) & (kWidth - 1)];
  }
  return slot;
}

void PageTree::remove_in(std::uint64_t& slot, unsigned height, std::uint64_t base,
                         std::uint64_t first, std::uint64_t last, std::uint64_t& count) {
  if (slot == 0) {
    return;
  }
  if (height == 0) {
    memory_pool().free(slot - 1, kPage);
    slot = 0;
    --count;
    give_back_file_memory(kPage);
    return;
  }
  auto* level = reinterpret_cast<Level*>(slot);
  const unsigned shift = (height - 1) * kShift;
  const std::uint64_t span = std::uint64_t{1} << shift;
  const std::uint64_t from = first > base ? (first - base) >> shift : 0;
  const std::uint64_t to = std::min((last - base) >> shift, kWidth - 1);
  for (std::uint64_t index = from; index <= to; ++index) {
    remove_in(level->slots[index], height - 1, base + index * span, first, last, count);
  }
  if (std::all_of(level->slots, level->slots + kWidth,
                  [](std::uint64_t each) { return each == 0; })) {
    Level::release(level);
    slot = 0;
  }
}

void PageTree::remove(std::uint64_t first, std::uint64_t last) {
  const unsigned bits = height_ * kShift;
  const std::uint64_t end = bits >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
  if (first <= last && first <= end) {
    remove_in(root_, height_, 0, first, std::min(last, end), count_);
  }
  if (root_ == 0) {
    height_ = 0;
  }
}

std::uint64_t PageTree::present_in(std::uint64_t slot, unsigned height, std::uint64_t base,
                                   std::uint64_t from) {
  if (slot == 0) {
    return kNone;
  }
  if (height == 0) {
    return base;
  }
  const auto* level = reinterpret_cast<const Level*>(slot);
  const unsigned shift = (height - 1) * kShift;
  for (std::uint64_t index = from > base ? (from - base) >> shift : 0; index < kWidth; ++index) {
    const std::uint64_t found =
        present_in(level->slots[index], height - 1, base + (index << shift), from);
    if (found != kNone) {
      return found;
    }
  }
  return kNone;
}

std::uint64_t PageTree::next_present(std::uint64_t from) const {
  return covers(from) ? present_in(root_, height_, 0, from) : kNone;
}

std::uint64_t PageTree::next_hole(std::uint64_t from) const {
  while (find(from) != kNone) {
    ++from;
  }
  return from;
}

}  // namespace linux_server
