#include <asm/fcntl.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "guest-kernel/linux/server/file_mappings.h"
#include "guest-kernel/linux/server/files/disk_attributes.h"
#include "guest-kernel/linux/server/files/disk_file_system.h"
#include "guest-kernel/linux/server/files/disk_nodes.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/notify.h"

// The bytes of a file of the disk.
namespace linux_server {
namespace {

using ext4::Request;
using Words = DiskFileSystem::Words;

constexpr std::uint64_t kPage = PageTree::kPage;
constexpr std::uint64_t kMostPages = ext4::kDataSize / kPage;
constexpr std::uint64_t kMaximumSize = 0x7fff'ffff'ffff'ffff;

NewNode regular(const ext4::InodeRecord& record) {
  NewNode what;
  what.mode = record.mode;
  what.user = record.user;
  what.group = record.group;
  return what;
}

// Takes what a program writes into the memory shared with the file system.
std::int64_t take_written(const UserBuffer& buffer, std::uint64_t from, std::uint64_t size) {
  constexpr int kMostTries = 64;
  const DiskFileSystem& disk = disk_file_system();
  for (int i = 0; i < kMostTries; ++i) {
    const std::uint64_t calls = disk.calls();
    const std::int64_t taken = buffer.take(disk.data().first(size), from);
    if (taken <= 0 || disk.calls() == calls) {
      return taken;
    }
    // It lies in a mapped file of the disk, whose pages came through the same memory: again.
  }
  return -EFAULT;
}

// An open file of the disk.
class DiskOpenFile : public File {
 public:
  DiskOpenFile(DiskFile& node, std::uint32_t flags) : File(node, flags), file_(node) {}

  std::int64_t read(Task& /*task*/, const UserBuffer& buffer, std::uint64_t offset) override {
    return file_.read_through(buffer, offset);
  }
  std::int64_t write(Task& /*task*/, const UserBuffer& buffer, std::uint64_t offset) override {
    const std::int64_t done = file_.write_through(buffer, offset);
    // O_SYNC has this bit too.
    if (done > 0 && (flags() & O_DSYNC) != 0) {
      if (const int failed = disk_file_system().commit()) {
        return -failed;
      }
    }
    return done;
  }
  std::int64_t write_bytes(Task& task, std::span<const std::byte> bytes) override {
    const std::uint64_t at = (flags() & O_APPEND) != 0 ? file_.size() : position();
    const std::int64_t done = write_bytes_at(task, bytes, at);
    if (done > 0) {
      set_position(at + static_cast<std::uint64_t>(done));
    }
    return done;
  }
  std::int64_t write_bytes_at(Task& task, std::span<const std::byte> bytes,
                              std::uint64_t offset) override {
    // It is read only.
    return write(task, UserBuffer({const_cast<std::byte*>(bytes.data()), bytes.size()}), offset);
  }

 private:
  DiskFile& file_;
};

}  // namespace

DiskFile::DiskFile(Name name, const ext4::InodeRecord& record, std::uint32_t device)
    : TmpfsFile(std::move(name), regular(record), device), allocated_(record.allocated) {
  take_record(attributes_, record);
  size_ = std::min(record.size, kMaximumSize);
  DiskFile*& first = disk_file_system().first_file;
  next_file = first;
  if (first != nullptr) {
    first->previous_file = this;
  }
  first = this;
}

DiskFile::~DiskFile() {
  if (!is_removed()) {
    static_cast<void>(write_back());
  }
  disk_file_system().forget(*this);
  (previous_file != nullptr ? previous_file->next_file : disk_file_system().first_file) = next_file;
  if (next_file != nullptr) {
    next_file->previous_file = previous_file;
  }
  release_inode(*this);
}

Attributes DiskFile::attributes(const Process* viewer) const {
  Attributes attributes = Node::attributes(viewer);
  DiskFileSystem& disk = disk_file_system();
  Words words = {inode()};
  if (!is_allocated_known_ && disk.call(Request::kGet, words) == 0) {
    allocated_ = disk.record<ext4::InodeRecord>().allocated;
    is_allocated_known_ = true;
  }
  attributes.allocated = allocated_;
  return attributes;
}

int DiskFile::change_bytes(Request request, Words& words) {
  is_allocated_known_ = false;
  return disk_file_system().change(request, words);
}

void DiskFile::drop_pages() {
  if (mappings == 0 && !may_be_dirty_) {
    pages_.remove(0, PageTree::kMaximumIndex);
  }
}

// Reads `count` (≤ kMostPages) pages that are not here.
int DiskFile::load_pages(std::uint64_t first, std::uint64_t count) {
  DiskFileSystem& disk = disk_file_system();
  Words words = {inode(), first * kPage, count * kPage};
  if (const int failed = disk.call(Request::kRead, words)) {
    return failed;
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t page = pages_.make(first + i, false);
    if (page == PageTree::kNone) {
      return ENOMEM;
    }
    std::memcpy(memory_pool().at(page), disk.data().data() + i * kPage, kPage);
  }
  return 0;
}

// Makes room where pages of the disk's files have taken much.
void DiskFile::shed_pages() {
  if (file_memory_used() > file_memory_limit() / 2) {
    for (DiskFile* file = disk_file_system().first_file; file != nullptr; file = file->next_file) {
      file->drop_pages();
    }
  }
}

// Has the pages of a range, as far as the file goes.
int DiskFile::load(std::uint64_t offset, std::uint64_t size) {
  if (offset >= size_ || size == 0) {
    return 0;
  }
  shed_pages();
  const std::uint64_t end = (offset + std::min(size, size_ - offset) + kPage - 1) / kPage;
  for (std::uint64_t at = offset / kPage; at < end;) {
    if (pages_.find(at) != PageTree::kNone) {
      ++at;
      continue;
    }
    std::uint64_t count = 1;
    while (count < kMostPages && at + count < end && pages_.find(at + count) == PageTree::kNone) {
      ++count;
    }
    if (const int failed = load_pages(at, count)) {
      return failed;
    }
    at += count;
  }
  return 0;
}

// `target(done)`: where the bytes from `done` on belong, as many as are contiguous. It may load and
// drop pages itself, for it may be a mapped file of the disk.
template <typename Target>
std::int64_t DiskFile::read_pages(std::uint64_t offset, std::uint64_t size, const Target& target) {
  if (offset >= size_) {
    return 0;
  }
  size = std::min(size, size_ - offset);
  std::uint64_t done = 0;
  std::int64_t error = 0;
  while (done < size && error == 0) {
    const std::span<std::byte> piece = target(done);
    const std::uint64_t at = offset + done;
    if (piece.empty()) {
      error = -EFAULT;
    } else if (pages_.find(at / kPage) == PageTree::kNone) {
      error = -load(at, std::min(size - done, ext4::kDataSize));
    }
    const std::uint64_t page = error != 0 ? PageTree::kNone : pages_.find(at / kPage);
    if (page != PageTree::kNone) {
      const std::uint64_t count =
          std::min({static_cast<std::uint64_t>(piece.size()), size - done, kPage - at % kPage});
      std::memmove(piece.data(), memory_pool().at(page) + at % kPage, count);
      done += count;
    }
  }
  return done != 0 ? static_cast<std::int64_t>(done) : error;
}

std::int64_t DiskFile::read_through(const UserBuffer& buffer, std::uint64_t offset) {
  attributes_.accessed = file_time();
  return read_pages(offset, buffer.size(),
                    [&](std::uint64_t done) { return buffer.piece(done, Access::kWrite); });
}

std::int64_t DiskFile::read_bytes(std::uint64_t offset, std::span<std::byte> to) {
  return read_pages(offset, to.size(), [&](std::uint64_t done) { return to.subspan(done); });
}

std::uint64_t DiskFile::page(std::uint64_t index, bool create) {
  if (!create || index > PageTree::kMaximumIndex) {
    return TmpfsFile::page(index, false);
  }
  // A program is about to use it through a mapping; a few more, in the hope that it goes on.
  constexpr std::uint64_t kAhead = 16;
  may_be_dirty_ = may_be_dirty_ || is_mapped_writable(*this);
  const std::uint64_t found = TmpfsFile::page(index, false);
  if (found != PageTree::kNone || load(index * kPage, kAhead * kPage) != 0) {
    return found;
  }
  return TmpfsFile::page(index, false);
}

// The pages that are here have what was written; whole ones are kept.
void DiskFile::keep_written(std::uint64_t offset, std::span<const std::byte> bytes,
                            std::uint64_t old_size) {
  shed_pages();
  for (std::uint64_t done = 0; done < bytes.size();) {
    const std::uint64_t at = offset + done;
    const std::uint64_t count = std::min(bytes.size() - done, kPage - at % kPage);
    std::uint64_t page = pages_.find(at / kPage);
    const bool is_whole = count == kPage || at / kPage * kPage >= old_size;
    if (page == PageTree::kNone && is_whole) {
      page = pages_.make(at / kPage, count != kPage);
    }
    if (page != PageTree::kNone) {
      std::memcpy(memory_pool().at(page) + at % kPage, bytes.data() + done, count);
    }
    done += count;
  }
}

// Keeps a small write until something else is asked of the disk, which saves a message. 0: it has
// to go there at once.
std::int64_t DiskFile::gather(const UserBuffer& buffer, std::uint64_t offset) {
  constexpr std::uint64_t kMost = 8192;
  constexpr int kMostTries = 64;
  DiskFileSystem& disk = disk_file_system();
  if (buffer.size() > kMost) {
    return 0;
  }
  for (int i = 0; i < kMostTries; ++i) {
    const std::uint64_t calls = disk.calls();
    const auto place = disk.place_to_gather(inode(), offset, buffer.size());
    const std::int64_t taken = place.empty() ? 0 : buffer.take(place, 0);
    if (place.empty() || disk.calls() == calls) {
      if (taken > 0) {
        is_allocated_known_ = false;
        keep_written(offset, place.first(static_cast<std::uint64_t>(taken)), size_);
        disk.gathered(*this, offset, static_cast<std::uint64_t>(taken));
        size_ = std::max(size_, offset + static_cast<std::uint64_t>(taken));
        set_modified();
      }
      return taken;
    }
    // It lies in a mapped file of the disk, whose pages came from there: the place is another.
  }
  return 0;
}

std::int64_t DiskFile::write_through(const UserBuffer& buffer, std::uint64_t offset) {
  DiskFileSystem& disk = disk_file_system();
  if (buffer.size() == 0) {
    return 0;
  }
  if (!disk.is_mounted()) {
    return -EIO;
  }
  if (offset >= kMaximumSize) {
    return -EFBIG;
  }
  if (const std::int64_t taken = gather(buffer, offset); taken != 0) {
    return taken < 0 ? -EFAULT : taken;
  }
  const std::uint64_t size = std::min(buffer.size(), kMaximumSize - offset);
  std::uint64_t done = 0;
  std::int64_t error = 0;
  while (done < size && error == 0) {
    // Up to a boundary of what one request takes, so that most blocks are whole.
    const std::uint64_t at = offset + done;
    const std::uint64_t wanted = std::min(size - done, ext4::kDataSize - at % ext4::kDataSize);
    const std::int64_t taken = take_written(buffer, done, wanted);
    if (taken <= 0) {
      error = -EFAULT;
      break;
    }
    const auto count = static_cast<std::uint64_t>(taken);
    Words words = {inode(), at, count};
    error = -change_bytes(Request::kWrite, words);
    if (error == 0) {
      const std::uint64_t written = std::min(words[0], count);
      keep_written(at, disk.data().first(written), size_);
      size_ = std::max(size_, at + written);
      done += written;
      // The disk is full after them.
      error = written < count ? -ENOSPC : 0;
    }
  }
  if (done == 0) {
    return error;
  }
  set_modified();
  return static_cast<std::int64_t>(done);
}

int DiskFile::write_back() {
  if (!may_be_dirty_) {
    return 0;
  }
  DiskFileSystem& disk = disk_file_system();
  const std::uint64_t end = (size_ + kPage - 1) / kPage;
  for (std::uint64_t at = pages_.next_present(0); at < end; at = pages_.next_present(at)) {
    std::uint64_t count = 0;
    for (; count < kMostPages && at + count < end; ++count) {
      const std::uint64_t page = pages_.find(at + count);
      if (page == PageTree::kNone) {
        break;
      }
      std::memcpy(disk.data().data() + count * kPage, memory_pool().at(page), kPage);
    }
    const std::uint64_t size = std::min(count * kPage, size_ - at * kPage);
    Words words = {inode(), at * kPage, size};
    const int failed = change_bytes(Request::kWrite, words);
    if (failed != 0 || words[0] < size) {
      return failed != 0 ? failed : ENOSPC;
    }
    at += count;
  }
  may_be_dirty_ = is_mapped_writable(*this);
  return 0;
}

Result<void> DiskFile::change(const AttributeChange& change) {
  const auto changed = change_inode(attributes_, change);
  return changed ? TmpfsFile::change(change) : changed;
}

Result<void> DiskFile::truncate(std::uint64_t size) {
  if (size > kMaximumSize) {
    return fail(EFBIG);
  }
  Words words = {inode(), size};
  if (const int failed = change_bytes(Request::kTruncate, words)) {
    return fail(failed);
  }
  return TmpfsFile::truncate(size);
}

Result<void> DiskFile::allocate(AllocationKind kind, std::uint64_t offset, std::uint64_t size) {
  const bool punches = kind == AllocationKind::kPunchHole;
  const bool zeroes = kind == AllocationKind::kZero || kind == AllocationKind::kZeroKeepSize;
  const bool keeps = kind == AllocationKind::kKeepSize || kind == AllocationKind::kZeroKeepSize;
  if (size > kMaximumSize || offset > kMaximumSize - size) {
    return fail(EFBIG);
  }
  Words words = {inode(), offset, size, keeps ? 1u : 0u};
  const Request request = punches ? Request::kPunch : zeroes ? Request::kZero : Request::kAllocate;
  if (const int failed = change_bytes(request, words)) {
    return fail(failed);
  }
  if (punches || zeroes) {
    clear(offset, size);
    set_modified();
  }
  if (!punches && !keeps) {
    size_ = std::max(size_, offset + size);
  }
  return {};
}

std::uint64_t DiskFile::seek(SeekTarget target, std::uint64_t offset) const {
  // What was written through a mapping is no hole.
  static_cast<void>(const_cast<DiskFile*>(this)->write_back());
  Words words = {inode(), offset, target == SeekTarget::kHole ? 1u : 0u};
  if (disk_file_system().call(Request::kSeek, words) != 0) {
    return target == SeekTarget::kData ? offset : size_;
  }
  return std::clamp(words[0], offset, std::max(offset, size_));
}

Result<Reference<File>> DiskFile::open(std::uint32_t flags, Process& /*opener*/) {
  if ((flags & O_TRUNC) != 0 && size_ != 0) {
    if (const auto cut = truncate(0); !cut) {
      return std::unexpected(cut.error());
    }
    notify(*this, NodeEvent::kModified);
  }
  auto* file = new (std::nothrow) DiskOpenFile(*this, flags);
  return file == nullptr ? Result<Reference<File>>(fail(ENOMEM)) : Reference<File>(file);
}

}  // namespace linux_server
