#include <asm/fcntl.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "guest-kernel/linux/server/file_mappings.h"
#include "guest-kernel/linux/server/files/tmpfs.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/notify.h"
#include "guest-kernel/linux/server/read_ahead.h"

// The bytes of a file in memory.
namespace linux_server {
namespace {

constexpr std::uint64_t kPage = PageTree::kPage;
constexpr std::uint64_t kMaximumSize = 0x7fff'ffff'ffff'ffff;
constexpr std::int64_t kAccessInterval = 24 * 3600 * std::int64_t{1'000'000'000};

}  // namespace

TmpfsFile::TmpfsFile(Name name, const NewNode& what, std::uint32_t device)
    : Node(std::move(name), what.mode), inode_(!what.on_disk) {
  attributes_.user = what.user;
  attributes_.group = what.group;
  attributes_.device = device;
  attributes_.accessed = attributes_.modified = attributes_.changed = attributes_.created =
      file_time();
}

Attributes TmpfsFile::attributes(const Process* viewer) const {
  Attributes attributes = Node::attributes(viewer);
  attributes.allocated = pages_.count() * kPage;
  return attributes;
}

void TmpfsFile::set_modified() {
  attributes_.modified = attributes_.changed = file_time();
}

std::uint64_t TmpfsFile::page(std::uint64_t index, bool create) {
  if (index > PageTree::kMaximumIndex) {
    return PageTree::kNone;
  }
  return create ? pages_.make(index) : pages_.find(index);
}

std::int64_t TmpfsFile::read(const UserBuffer& buffer, std::uint64_t offset) {
  if (offset >= size_) {
    return 0;
  }
  // As relatime has it.
  const std::int64_t now = file_time();
  if (attributes_.accessed <= attributes_.modified ||
      now - attributes_.accessed > kAccessInterval) {
    attributes_.accessed = now;
  }
  const std::uint64_t size = std::min(buffer.size(), size_ - offset);
  std::uint64_t done = 0;
  while (done < size) {
    const std::span<std::byte> piece = buffer.piece(done, Access::kWrite);
    if (piece.empty()) {
      return done != 0 ? static_cast<std::int64_t>(done) : -EFAULT;
    }
    const std::uint64_t in_page = (offset + done) % kPage;
    const std::uint64_t count =
        std::min({static_cast<std::uint64_t>(piece.size()), size - done, kPage - in_page});
    const std::uint64_t page = pages_.find((offset + done) / kPage);
    if (page == PageTree::kNone) {
      std::memset(piece.data(), 0, count);
    } else {
      std::memmove(piece.data(), memory_pool().at(page) + in_page, count);
    }
    done += count;
  }
  return static_cast<std::int64_t>(done);
}

std::int64_t TmpfsFile::read_bytes(std::uint64_t offset, std::span<std::byte> to) {
  if (offset >= size_) {
    return 0;
  }
  const std::uint64_t size = std::min<std::uint64_t>(to.size(), size_ - offset);
  for (std::uint64_t done = 0; done < size;) {
    const std::uint64_t in_page = (offset + done) % kPage;
    const std::uint64_t count = std::min(size - done, kPage - in_page);
    const std::uint64_t page = pages_.find((offset + done) / kPage);
    if (page == PageTree::kNone) {
      std::memset(to.data() + done, 0, count);
    } else {
      std::memcpy(to.data() + done, memory_pool().at(page) + in_page, count);
    }
    done += count;
  }
  return static_cast<std::int64_t>(size);
}

// `source(done)`: the bytes from `done` on, as many as are contiguous; empty: there are none.
template <typename Source>
std::int64_t TmpfsFile::write_pages(std::uint64_t offset, std::uint64_t size,
                                    const Source& source) {
  if ((seals_ & (kSealWrite | kSealFutureWrite)) != 0) {
    return -EPERM;
  }
  if (size == 0) {
    return 0;
  }
  if (offset >= kMaximumSize) {
    return -EFBIG;
  }
  size = std::min(size, kMaximumSize - offset);
  std::uint64_t done = 0;
  std::int64_t error = 0;
  while (done < size) {
    const std::span<const std::byte> piece = source(done);
    if (piece.empty()) {
      error = -EFAULT;
      break;
    }
    const std::uint64_t in_page = (offset + done) % kPage;
    const std::uint64_t count =
        std::min({static_cast<std::uint64_t>(piece.size()), size - done, kPage - in_page});
    if ((seals_ & kSealGrow) != 0 && offset + done + count > size_) {
      error = -EPERM;
      break;
    }
    const std::uint64_t page = pages_.make((offset + done) / kPage, count != kPage);
    if (page == PageTree::kNone) {
      error = -ENOSPC;
      break;
    }
    std::memmove(memory_pool().at(page) + in_page, piece.data(), count);
    done += count;
  }
  if (done == 0) {
    return error;
  }
  size_ = std::max(size_, offset + done);
  set_modified();
  return static_cast<std::int64_t>(done);
}

std::int64_t TmpfsFile::write(const UserBuffer& buffer, std::uint64_t offset) {
  return write_pages(offset, buffer.size(), [&](std::uint64_t done) {
    return std::span<const std::byte>(buffer.piece(done, Access::kRead));
  });
}

std::int64_t TmpfsFile::write(std::span<const std::byte> bytes, std::uint64_t offset) {
  return write_pages(offset, bytes.size(), [&](std::uint64_t done) { return bytes.subspan(done); });
}

void TmpfsFile::clear(std::uint64_t offset, std::uint64_t size) {
  const std::uint64_t end = offset + size;
  const auto clear_in_page = [&](std::uint64_t from, std::uint64_t to) {
    const std::uint64_t page = pages_.find(from / kPage);
    if (page != PageTree::kNone && from < to) {
      std::memset(memory_pool().at(page) + from % kPage, 0, to - from);
    }
  };
  const std::uint64_t first = (offset + kPage - 1) / kPage;
  const std::uint64_t last = end / kPage;
  if (first > last) {
    clear_in_page(offset, end);
    return;
  }
  clear_in_page(offset, first * kPage);
  if (first < last) {
    forget_mapped_pages(*this, first, last - 1, false);
    pages_.remove(first, last - 1);
  }
  clear_in_page(last * kPage, end);
}

Result<void> TmpfsFile::truncate(std::uint64_t size) {
  ReadAhead::end_all_of(*this);
  if (size > kMaximumSize) {
    return fail(EFBIG);
  }
  if ((size < size_ && (seals_ & kSealShrink) != 0) ||
      (size > size_ && (seals_ & kSealGrow) != 0)) {
    return fail(EPERM);
  }
  if (size < size_) {
    // Pages past the end may exist too (fallocate with KEEP_SIZE): all go.
    const std::uint64_t first = (size + kPage - 1) / kPage;
    forget_mapped_pages(*this, first, PageTree::kMaximumIndex, true);
    clear(size, first * kPage - size);
    pages_.remove(first, PageTree::kMaximumIndex);
  }
  size_ = size;
  set_modified();
  return {};
}

Result<void> TmpfsFile::allocate(AllocationKind kind, std::uint64_t offset, std::uint64_t size) {
  const std::uint64_t end = offset + size;
  if (end > kMaximumSize || end < offset) {
    return fail(EFBIG);
  }
  const bool punches = kind == AllocationKind::kPunchHole;
  const bool grows =
      (kind == AllocationKind::kAllocate || kind == AllocationKind::kZero) && end > size_;
  if (((punches || kind == AllocationKind::kZero || kind == AllocationKind::kZeroKeepSize) &&
       (seals_ & (kSealWrite | kSealFutureWrite)) != 0) ||
      (grows && (seals_ & kSealGrow) != 0)) {
    return fail(EPERM);
  }
  if (kind == AllocationKind::kZero || kind == AllocationKind::kZeroKeepSize) {
    // As Linux's tmpfs.
    return fail(EOPNOTSUPP);
  }
  if (punches) {
    clear(offset, size);
    set_modified();
    return {};
  }
  const std::uint64_t first = offset / kPage;
  const std::uint64_t last = (end - 1) / kPage;
  if (last - first >= file_memory_limit()) {
    return fail(ENOSPC);
  }
  for (std::uint64_t index = first; index <= last; ++index) {
    const bool existed = pages_.find(index) != PageTree::kNone;
    if (!existed && pages_.make(index) == PageTree::kNone) {
      // Those made so far are given back where they lie past the end; inside they do no harm.
      pages_.remove(std::max(first, (size_ + kPage - 1) / kPage), index);
      return fail(ENOSPC);
    }
  }
  if (grows) {
    size_ = end;
  }
  attributes_.changed = file_time();
  return {};
}

std::uint64_t TmpfsFile::seek(SeekTarget target, std::uint64_t offset) const {
  const std::uint64_t index = offset / kPage;
  const std::uint64_t found =
      target == SeekTarget::kData ? pages_.next_present(index) : pages_.next_hole(index);
  if (found == PageTree::kNone || found * kPage >= size_) {
    return size_;
  }
  return std::max(offset, found * kPage);
}

Result<Reference<File>> TmpfsFile::open(std::uint32_t flags, Process& /*opener*/) {
  if ((flags & O_TRUNC) != 0 && size_ != 0) {
    if (const auto cut = truncate(0); !cut) {
      return std::unexpected(cut.error());
    }
    notify(*this, NodeEvent::kModified);
  }
  auto* file = new TmpfsOpenFile(*this, flags);
  return file == nullptr ? Result<Reference<File>>(fail(ENOMEM)) : Reference<File>(file);
}

std::int64_t TmpfsOpenFile::read(Task& /*task*/, const UserBuffer& buffer, std::uint64_t offset) {
  return file_.read(buffer, offset);
}
std::int64_t TmpfsOpenFile::write(Task& /*task*/, const UserBuffer& buffer, std::uint64_t offset) {
  return file_.write(buffer, offset);
}
std::int64_t TmpfsOpenFile::write_bytes(Task& task, std::span<const std::byte> bytes) {
  const std::uint64_t at = (flags() & O_APPEND) != 0 ? file_.size() : position();
  const std::int64_t done = write_bytes_at(task, bytes, at);
  if (done > 0) {
    set_position(at + static_cast<std::uint64_t>(done));
  }
  return done;
}
std::int64_t TmpfsOpenFile::write_bytes_at(Task& /*task*/, std::span<const std::byte> bytes,
                                           std::uint64_t offset) {
  return file_.write(bytes, offset);
}

Result<Reference<TmpfsFile>> make_memory_file(std::string_view name, const NewNode& what) {
  Name copy = Name::copy(name);
  auto* file = copy.is_null() ? nullptr
                              : new (std::nothrow) TmpfsFile(std::move(copy), what, kVirtualDevice);
  if (file == nullptr) {
    return fail(ENOMEM);
  }
  file->forget_links();
  return Reference<TmpfsFile>(file);
}

}  // namespace linux_server
