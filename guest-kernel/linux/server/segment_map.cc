#include "guest-kernel/linux/server/segment_map.h"

#include <algorithm>

#include "guest-kernel/linux/server/memory_share.h"

namespace linux_server {
namespace {

// Of so many segments may every address space have, whatever others have.
constexpr std::size_t kUsualCapacity = 1024;

std::uint64_t cost_of(std::size_t capacity) {
  return capacity <= kUsualCapacity ? 0 : capacity * sizeof(Segment);
}

bool continues(const Segment& first, const Segment& second) {
  if (first.end != second.start || first.protection != second.protection ||
      first.allowed != second.allowed || first.backing != second.backing ||
      first.use != second.use || first.shared != second.shared || first.file != second.file ||
      first.copy_on_write != second.copy_on_write || first.mapped != second.mapped ||
      first.fork_rule != second.fork_rule || first.locked != second.locked) {
    return false;
  }
  if (first.is_backed() && first.offset + first.size() != second.offset) {
    return false;
  }
  return first.file == nullptr || first.file_offset + first.size() == second.file_offset;
}

}  // namespace

SegmentMap::~SegmentMap() {
  mappings_share.give_back(cost_of(segments_.capacity()));
}

// Room for `capacity` segments. False: no memory, or maps of many segments have their share of it.
bool SegmentMap::reserve(std::size_t capacity) {
  const std::size_t old = segments_.capacity();
  if (capacity <= old) {
    return true;
  }
  const std::size_t wanted = std::max(capacity, 2 * old);
  const std::uint64_t more = cost_of(wanted) - cost_of(old);
  if (!mappings_share.take(more)) {
    return false;
  }
  if (!segments_.reserve(wanted)) {
    mappings_share.give_back(more);
    return false;
  }
  return true;
}

std::size_t SegmentMap::index_after(std::uint64_t address) const {
  const Segment* found = std::upper_bound(
      begin(), end(), address,
      [](std::uint64_t value, const Segment& segment) { return value < segment.end; });
  return static_cast<std::size_t>(found - begin());
}

const Segment* SegmentMap::find(std::uint64_t address) const {
  const std::size_t index = index_after(address);
  return index < size() && segments_[index].start <= address ? &segments_[index] : nullptr;
}

Segment SegmentMap::piece(std::uint64_t start, std::uint64_t end) const {
  Segment piece = *find(start);
  const std::uint64_t distance = start - piece.start;
  piece.start = start;
  piece.offset += distance;
  piece.file_offset += distance;
  piece.end = std::min(piece.end, end);
  return piece;
}

bool SegmentMap::prepare() {
  constexpr std::size_t kMost = 3;  // two cuts and a new segment
  return size() + kMost <= kMaximumSegments && reserve(size() + kMost);
}

bool SegmentMap::replace(const Segment& segment) {
  const std::size_t index = index_after(segment.start);
  if (segments_[index].start != segment.start || segments_[index].end != segment.end) {
    // Room first, so that nothing can fail half-way.
    if (!prepare() || !split(segment.start, segment.end)) {
      return false;
    }
    remove(segment.start, segment.end);
    return insert(segment);
  }
  segments_[index] = segment;
  // Only where it joins a neighbour do the others move.
  if (index + 1 < size() && continues(segment, segments_[index + 1])) {
    segments_[index].end = segments_[index + 1].end;
    segments_.erase(index + 1, index + 2);
  }
  if (index > 0 && continues(segments_[index - 1], segments_[index])) {
    segments_[index - 1].end = segments_[index].end;
    segments_.erase(index, index + 1);
  }
  return true;
}

bool SegmentMap::insert(const Segment& segment) {
  const std::size_t index = index_after(segment.start);
  if (index > 0 && continues(segments_[index - 1], segment)) {
    Segment& previous = segments_[index - 1];
    previous.end = segment.end;
    if (index < size() && continues(previous, segments_[index])) {
      previous.end = segments_[index].end;
      segments_.erase(index, index + 1);
    }
    return true;
  }
  if (index < size() && continues(segment, segments_[index])) {
    Segment& next = segments_[index];
    next.start = segment.start;
    next.offset = segment.offset;
    next.file_offset = segment.file_offset;
    return true;
  }
  return size() < kMaximumSegments && reserve(size() + 1) && segments_.insert(index, segment);
}

bool SegmentMap::split_at(std::uint64_t address) {
  const std::size_t index = index_after(address);
  if (index == size() || segments_[index].start >= address) {
    return true;
  }
  Segment second = segments_[index];
  const std::uint64_t distance = address - second.start;
  second.start = address;
  second.offset += distance;
  second.file_offset += distance;
  if (size() >= kMaximumSegments || !reserve(size() + 1) || !segments_.insert(index + 1, second)) {
    return false;
  }
  segments_[index].end = address;
  return true;
}

bool SegmentMap::split(std::uint64_t start, std::uint64_t end) {
  return split_at(start) && split_at(end);
}

void SegmentMap::remove(std::uint64_t start, std::uint64_t end) {
  const std::size_t first = index_after(start);
  std::size_t last = first;
  while (last < size() && segments_[last].end <= end) {
    ++last;
  }
  segments_.erase(first, last);
}

bool SegmentMap::covers(std::uint64_t start, std::uint64_t end) const {
  for (std::size_t index = index_after(start); start < end; ++index) {
    if (index >= size() || segments_[index].start > start) {
      return false;
    }
    start = segments_[index].end;
  }
  return true;
}

bool SegmentMap::is_free(std::uint64_t start, std::uint64_t end) const {
  const std::size_t index = index_after(start);
  return index == size() || segments_[index].start >= end;
}

std::uint64_t SegmentMap::find_gap(std::uint64_t size, std::uint64_t low, std::uint64_t high,
                                   std::uint64_t alignment) const {
  // Candidates end at `high`, then at the start of each segment below it, from the top down.
  std::uint64_t top = high;
  std::size_t index = index_after(high - 1);
  if (index < this->size() && segments_[index].start < high) {
    top = segments_[index].start;
  }
  while (top >= low && top - low >= size) {
    const std::uint64_t bottom = index == 0 ? low : std::max(low, segments_[index - 1].end);
    const std::uint64_t candidate = top >= size ? (top - size) & ~(alignment - 1) : 0;
    if (candidate >= bottom && candidate != 0) {
      return candidate;
    }
    if (index == 0) {
      return 0;
    }
    --index;
    top = segments_[index].start;
  }
  return 0;
}

std::uint64_t SegmentMap::total_size() const {
  std::uint64_t total = 0;
  for (const Segment& segment : segments_) {
    total += segment.size();
  }
  return total;
}

}  // namespace linux_server
