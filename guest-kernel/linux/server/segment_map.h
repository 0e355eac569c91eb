#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/growing_array.h"

namespace linux_server {

class Node;

// Where the bytes of a segment are.
enum class Backing : std::uint8_t {
  kNone,    // nowhere yet: zeroes, given memory at the first touch
  kMemory,  // the server's memory region
  kRoot,    // the root archive, read-only
  kShared,  // pages of the server that several processes see and none owns
  kFile,    // pages of `file`, looked up at the first touch; past its end there are none
};

enum class Mapped : std::uint8_t { kNothing, kReadOnly, kFully };

// What fork(2) does with private memory: madvise(2).
enum class ForkRule : std::uint8_t { kCopy, kOmit, kWipe };

enum class SegmentUse : std::uint8_t { kAnonymous, kFile, kHeap, kStack, kShim };

// A run of a process's addresses with one protection and one contiguous backing.
struct Segment {
  std::uint64_t start = 0;      // page-aligned
  std::uint64_t end = 0;        // page-aligned
  std::uint64_t offset = 0;     // of `start` in the backing
  std::uint8_t protection = 0;  // PROT_READ | PROT_WRITE | PROT_EXEC
  std::uint8_t allowed = 7;     // what mprotect(2) may make of it
  Backing backing = Backing::kNone;
  SegmentUse use = SegmentUse::kAnonymous;
  ForkRule fork_rule = ForkRule::kCopy;
  bool locked = false;  // mlock(2)
  bool shared = false;
  // Whoever writes first gets a copy: the pages have other owners, or are a file's.
  bool copy_on_write = false;
  // What the domain's page tables hold of it.
  Mapped mapped = Mapped::kNothing;
  Node* file = nullptr;           // what was mapped; its address space keeps it
  std::uint64_t file_offset = 0;  // of `start` in it

  std::uint64_t size() const { return end - start; }
  // Whether programs have memory behind it now.
  bool is_backed() const { return backing != Backing::kNone && backing != Backing::kFile; }
};

// The segments of one address space in order of address, none overlapping. All addresses and sizes
// are multiples of the page size.
class SegmentMap {
 public:
  // As Linux's vm.max_map_count.
  static constexpr std::size_t kMaximumSegments = 65530;

  SegmentMap() = default;
  ~SegmentMap();

  const Segment* begin() const { return segments_.begin(); }
  const Segment* end() const { return segments_.end(); }
  std::size_t size() const { return segments_.size(); }
  // Bytes that the map itself takes.
  std::uint64_t memory() const { return segments_.capacity() * sizeof(Segment); }

  // The segment that holds `address`, or null.
  const Segment* find(std::uint64_t address) const;
  // The part in [start, end) of the segment that holds `start`, which must exist.
  Segment piece(std::uint64_t start, std::uint64_t end) const;
  // Index of the first segment that ends after `address`; size() if there is none.
  std::size_t index_after(std::uint64_t address) const;
  Segment& at(std::size_t index) { return segments_[index]; }

  // Adds a segment to a free range and joins it with neighbours that continue it. False: no memory,
  // or too many segments.
  [[nodiscard]] bool insert(const Segment& segment);
  // Cuts the segments that straddle `start` or `end`. False: no memory, or too many segments.
  [[nodiscard]] bool split(std::uint64_t start, std::uint64_t end);
  // Room for the next split() and insert(), which then succeed. False: no memory, or too many.
  [[nodiscard]] bool prepare();
  // Gives a part of what is there, which `segment` names by its start and end, new properties.
  // False: no memory, or too many; nothing has changed.
  [[nodiscard]] bool replace(const Segment& segment);
  void clear() { segments_.clear(); }
  // Forgets what lies in [start, end), which split() made exact.
  void remove(std::uint64_t start, std::uint64_t end);

  // True if segments cover [start, end) without a hole.
  bool covers(std::uint64_t start, std::uint64_t end) const;
  // True if no segment lies in [start, end).
  bool is_free(std::uint64_t start, std::uint64_t end) const;
  // Highest free range of `size` bytes within [low, high), aligned to `alignment`; 0: none.
  std::uint64_t find_gap(std::uint64_t size, std::uint64_t low, std::uint64_t high,
                         std::uint64_t alignment) const;
  // Bytes of all segments.
  std::uint64_t total_size() const;

 private:
  bool reserve(std::size_t capacity);
  bool split_at(std::uint64_t address);

  GrowingArray<Segment> segments_;
};

}  // namespace linux_server
