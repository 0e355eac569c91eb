#include <algorithm>
#include <array>
#include <utility>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/linux/server/address_space.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/node.h"

// Mapped files: their pages are looked up when they are touched, and again after they went.
namespace linux_server {
namespace {

constexpr std::uint64_t kPage = abi::kPageSize;
// Around the touched page, those that exist are mapped too: a fault costs more than they do.
constexpr std::uint64_t kWindowPages = 16;

std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) & ~(unit - 1);
}

}  // namespace

std::size_t AddressSpace::file_index(const Node* file) const {
  return static_cast<std::size_t>(std::lower_bound(files_.begin(), files_.end(), file) -
                                  files_.begin());
}

Result<void> AddressSpace::keep_file(Node* file) {
  const std::size_t index = file_index(file);
  if (file == nullptr || (index < files_.size() && files_[index] == file)) {
    return {};
  }
  if (!files_.insert(index, file)) {
    return fail(ENOMEM);
  }
  file->acquire();
  ++file->mappings;
  return {};
}

void AddressSpace::drop_unused_files() {
  // One walk through the segments marks the files. Nothing below comes back here.
  static std::array<bool, SegmentMap::kMaximumSegments + 1> used;
  for (std::size_t index = 0; index < files_.size(); ++index) {
    used[index] = false;
  }
  const Node* last = nullptr;
  for (const Segment& segment : segments_) {
    if (segment.file != nullptr && segment.file != last) {
      last = segment.file;
      used[file_index(last)] = true;
    }
  }
  std::size_t kept = 0;
  for (std::size_t index = 0; index < files_.size(); ++index) {
    if (used[index]) {
      std::swap(files_[kept++], files_[index]);
    }
  }
  while (files_.size() != kept) {
    Node* const file = files_[files_.size() - 1];
    files_.erase(files_.size() - 1, files_.size());
    --file->mappings;
    file->release();
  }
}

Result<void> AddressSpace::add_file(const Segment& segment) {
  Node& file = *segment.file;
  Segment rest = segment;
  rest.backing = Backing::kFile;
  const std::span<const std::byte> contents = file.contents();
  if (!file.has_pages() && segment.file_offset < contents.size()) {
    const std::span<const std::byte> tail = contents.subspan(segment.file_offset);
    Segment first = segment;
    first.end = segment.start + std::min(round_up(tail.size(), kPage), segment.size());
    if (const auto added = add_contents(first, tail.first(std::min(tail.size(), first.size())));
        !added || first.end == segment.end) {
      return added;
    }
    rest.start = first.end;
    rest.file_offset += first.size();
  }
  return insert(rest);
}

void AddressSpace::set_program(Node& file) {
  program_ = &file;
  ++file.executions;
}

Result<void> AddressSpace::place_pages(std::uint64_t start, std::span<const std::uint64_t> frames) {
  for (std::size_t done = 0; done < frames.size();) {
    std::size_t end = done + 1;
    while (end < frames.size() && frames[end] == frames[end - 1] + kPage) {
      ++end;
    }
    const std::uint64_t size = (end - done) * kPage;
    Segment piece = segments_.piece(start, start + size);
    if (!memory_pool().share(frames[done], size)) {
      return fail(ENOMEM);
    }
    piece.backing = Backing::kMemory;
    piece.offset = frames[done];
    piece.copy_on_write = !piece.shared;
    if (const auto replaced = replace(piece); !replaced) {
      memory_pool().free(frames[done], size);
      return replaced;
    }
    if (const auto mapped = map_range(start, start + size); !mapped) {
      return mapped;
    }
    start += size;
    done = end;
  }
  return {};
}

FaultOutcome AddressSpace::fill_from_file(const Segment& segment, std::uint64_t address) {
  Node& file = *segment.file;
  const std::uint64_t pages = round_up(file.size(), kPage) / kPage;
  const std::uint64_t first = segment.file_offset / kPage;
  const std::uint64_t index = first + (address - segment.start) / kPage;
  if (index >= pages || !file.has_pages()) {
    return FaultOutcome::kNoFile;
  }
  const std::uint64_t touched = file.page(index, true);
  if (touched == MemoryPool::kNone) {
    return segment.use == SegmentUse::kAnonymous ? FaultOutcome::kNoMemory : FaultOutcome::kNoFile;
  }
  // Memory without a file is likely to be used all over: it gets the pages that do not exist yet.
  const bool create = segment.use == SegmentUse::kAnonymous;
  std::array<std::uint64_t, kWindowPages> frames;
  const std::uint64_t window = index / kWindowPages * kWindowPages;
  const std::uint64_t last =
      std::min({window + kWindowPages, pages, first + segment.size() / kPage});
  std::uint64_t begin = std::max(window, first);
  std::size_t count = 0;
  for (std::uint64_t at = begin; at < last; ++at) {
    const std::uint64_t frame = at == index ? touched : file.page(at, create);
    if (frame != MemoryPool::kNone) {
      frames[count++] = frame;
    } else if (at < index) {
      begin = at + 1;
      count = 0;
    } else {
      break;
    }
  }
  const std::uint64_t start = segment.start + (begin - first) * kPage;
  return place_pages(start, std::span(frames).first(count)) ? FaultOutcome::kResolved
                                                            : FaultOutcome::kNoMemory;
}

void AddressSpace::forget_file_pages(const Node& file, std::uint64_t first, std::uint64_t last,
                                     bool copies) {
  for (std::size_t index = 0; index < segments_.size(); ++index) {
    const Segment segment = segments_.at(index);
    const std::uint64_t start = segment.file_offset / kPage;
    const std::uint64_t end = start + segment.size() / kPage;
    if (segment.file != &file || segment.backing != Backing::kMemory || start > last ||
        end <= first) {
      continue;
    }
    const std::uint64_t from = std::max(start, first);
    const std::uint64_t to = last < end ? last + 1 : end;
    const auto address_of = [&](std::uint64_t page) {
      return segment.start + (page - start) * kPage;
    };
    const auto goes = [&](std::uint64_t page) {
      return copies || segment.file->page(page, false) == segment.offset + (page - start) * kPage;
    };
    for (std::uint64_t page = from; page < to; ++page) {
      const std::uint64_t begin = page;
      while (page < to && goes(page)) {
        ++page;
      }
      if (page != begin) {
        forget_pages(address_of(begin), address_of(page));
      }
    }
    index = segments_.index_after(segment.end - 1);
  }
}

void AddressSpace::forget_pages(std::uint64_t start, std::uint64_t end) {
  Segment piece = segments_.piece(start, end);
  const std::uint64_t frames = piece.offset;
  if (piece.mapped != Mapped::kNothing) {
    static_cast<void>(guest::unmap(domain_, start, end - start));
  }
  piece.backing = Backing::kFile;
  piece.offset = 0;
  piece.copy_on_write = false;
  piece.mapped = Mapped::kNothing;
  // Where there is no memory to note it, the pages stay this space's own.
  if (replace(piece)) {
    memory_pool().free(frames, end - start);
  }
}

bool AddressSpace::shares_writable(const Node& file) const {
  return std::any_of(segments_.begin(), segments_.end(), [&file](const Segment& segment) {
    return segment.file == &file && segment.shared && (segment.allowed & 2) != 0;
  });
}

}  // namespace linux_server
