#include <algorithm>
#include <array>

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

Result<void> AddressSpace::keep_file(Node* file) {
  if (file == nullptr || std::find(files_.begin(), files_.end(), file) != files_.end()) {
    return {};
  }
  if (!files_.push_back(file)) {
    return fail(ENOMEM);
  }
  file->acquire();
  ++file->mappings;
  return {};
}

void AddressSpace::drop_unused_files() {
  for (std::size_t index = files_.size(); index-- > 0;) {
    Node* const file = files_[index];
    const bool used = std::any_of(segments_.begin(), segments_.end(),
                                  [file](const Segment& each) { return each.file == file; });
    if (!used) {
      files_.erase(index, index + 1);
      --file->mappings;
      file->release();
    }
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
    for (std::uint64_t page = from; page < to; ++page) {
      Segment piece = segments_.piece(segment.start + (page - start) * kPage,
                                      segment.start + (page - start + 1) * kPage);
      if (!copies && segment.file->page(page, false) != piece.offset) {
        continue;
      }
      const std::uint64_t frame = piece.offset;
      if (piece.mapped != Mapped::kNothing) {
        static_cast<void>(guest::unmap(domain_, piece.start, kPage));
      }
      piece.backing = Backing::kFile;
      piece.offset = 0;
      piece.copy_on_write = false;
      piece.mapped = Mapped::kNothing;
      // Where there is no memory to note it, the page stays this space's own.
      if (replace(piece)) {
        memory_pool().free(frame, kPage);
      }
    }
    index = segments_.index_after(segment.end - 1);
  }
}

bool AddressSpace::shares_writable(const Node& file) const {
  return std::any_of(segments_.begin(), segments_.end(), [&file](const Segment& segment) {
    return segment.file == &file && segment.shared && (segment.allowed & 2) != 0;
  });
}

}  // namespace linux_server
