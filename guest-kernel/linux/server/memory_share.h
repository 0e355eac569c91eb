#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>

#include "guest-kernel/linux/server/memory_pool.h"

namespace linux_server {

// What the objects of one kind may take of the memory, those of all programs together. A program
// that makes too many of them gets an error, and everybody else goes on.
class MemoryShare {
 public:
  // 1/2^`shift` of the pool.
  constexpr explicit MemoryShare(unsigned shift) : shift_(shift) {}
  MemoryShare(const MemoryShare&) = delete;
  MemoryShare& operator=(const MemoryShare&) = delete;

  // Bytes.
  std::uint64_t limit() const { return memory_pool().total() >> shift_; }
  std::uint64_t used() const { return used_; }
  bool has(std::uint64_t size) const { return used_ + size <= limit(); }
  // Only the last of it is left, which is for those who have little.
  bool is_scarce() const { return used_ > limit() - limit() / 8; }
  [[nodiscard]] bool take(std::uint64_t size) {
    const bool possible = has(size);
    used_ += possible ? size : 0;
    return possible;
  }
  void give_back(std::uint64_t size) { used_ -= size; }

  // In place of what was taken; it may be more than there is left.
  void exchange(std::uint64_t old_size, std::uint64_t size) { used_ += size - old_size; }

  // Memory that counts against the share; null: it is used up, or there is none.
  void* allocate(std::size_t size) { return has(cost_of(size)) ? allocate_always(size) : nullptr; }
  // The same for what everybody gets, however much the others have.
  void* allocate_always(std::size_t size) {
    void* const memory = ::operator new(size, std::nothrow);
    used_ += memory == nullptr ? 0 : cost_of(size);
    return memory;
  }
  void release(void* memory, std::size_t size) {
    if (memory != nullptr) {
      give_back(cost_of(size));
      ::operator delete(memory, size);
    }
  }

 private:
  // As the heap rounds it.
  static std::size_t cost_of(std::size_t size) {
    constexpr std::size_t kSmallest = 32;
    return std::bit_ceil(std::max(size, kSmallest));
  }

  unsigned shift_;
  std::uint64_t used_ = 0;
};

// For `new`: even if the share is used up.
struct Always {};

// Base of classes whose objects count against a share: `new` gives null where it is used up.
template <MemoryShare& share>
struct Charged {
  static void* operator new(std::size_t size) noexcept { return share.allocate(size); }
  static void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
    return share.allocate(size);
  }
  static void* operator new(std::size_t size, Always /*tag*/) noexcept {
    return share.allocate_always(size);
  }
  static void operator delete(void* memory, std::size_t size) noexcept {
    share.release(memory, size);
  }
};

// Open files, with the pipes and sockets that they lead to.
inline constinit MemoryShare open_files_share{4};
// The tables of descriptors of those processes that have many.
inline constinit MemoryShare descriptors_share{4};
// What address spaces of many mappings know of them.
inline constinit MemoryShare mappings_share{3};
// Bytes on their way through pipes, sockets and terminals.
inline constinit MemoryShare queues_share{3};
// What epoll(7), poll(2) and inotify(7) watch, and the events of the last.
inline constinit MemoryShare watches_share{4};
// Timers, and signals that wait.
inline constinit MemoryShare signals_share{6};
inline constinit MemoryShare locks_share{6};
// Files of the disk whose attributes are kept.
inline constinit MemoryShare disk_nodes_share{3};
// Messages and semaphores of System V.
inline constinit MemoryShare system_v_share{5};
// The texts of files of /proc that are open.
inline constinit MemoryShare texts_share{5};

}  // namespace linux_server
