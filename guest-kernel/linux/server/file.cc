#include "guest-kernel/linux/server/file.h"

#include <asm/fcntl.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <new>

#include "guest-kernel/linux/server/files/device_files.h"
#include "guest-kernel/linux/server/node_extras.h"
#include "guest-kernel/linux/server/notify.h"
#include "guest-kernel/linux/server/path.h"
#include "guest-kernel/linux/server/process.h"
#include "guest-kernel/linux/server/read_ahead.h"
#include "guest-kernel/linux/server/root_archive.h"

namespace linux_server {
namespace {

struct DirectoryEntry {
  std::uint64_t inode;
  std::int64_t next;  // position of the entry after this one
  std::uint16_t size;
  std::uint8_t type;
  char name[kMaximumName + 1];
};
constexpr std::size_t kEntryHeader = offsetof(DirectoryEntry, name);

}  // namespace

File::File(Node& node, std::uint32_t flags) : node_(&node), flags_(flags) {
  if (may_write()) {
    ++node.writers;
    ReadAhead::end_all_of(node);
  }
}

File::~File() {
  node_->writers -= may_write() ? 1 : 0;
  while (first_watch_ != nullptr) {
    FileWatch& watch = *first_watch_;
    watch.stop_watching();
    watch.file_is_gone();
  }
  if (is_path_only()) {
    return;
  }
  if (NodeExtras* extras = node_->extras(); extras != nullptr) {
    extras->locks.release(this);
  }
  notify(*node_, may_write() ? NodeEvent::kClosedWritten : NodeEvent::kClosedUnwritten);
}

std::uint64_t File::position() const {
  if (read_ahead_ != nullptr) {
    read_ahead_->end();
  }
  return position_;
}

void File::set_position(std::uint64_t position) {
  move_on(position);
  reads_in_row_ = 0;
}

void File::move_on(std::uint64_t position) {
  if (read_ahead_ != nullptr) {
    read_ahead_->end();
  }
  position_ = position;
  ++reads_in_row_;
}

bool File::is_path_only() const {
  return (flags_ & O_PATH) != 0;
}

void FileWatch::watch(File& file) {
  stop_watching();
  file_ = &file;
  next_ = file.first_watch_;
  if (next_ != nullptr) {
    next_->previous_ = this;
  }
  file.first_watch_ = this;
}

void FileWatch::stop_watching() {
  if (file_ == nullptr) {
    return;
  }
  (previous_ != nullptr ? previous_->next_ : file_->first_watch_) = next_;
  if (next_ != nullptr) {
    next_->previous_ = previous_;
  }
  file_ = nullptr;
  next_ = previous_ = nullptr;
}

bool File::may_read() const {
  const std::uint32_t mode = flags_ & O_ACCMODE;
  return (mode == O_RDONLY || mode == O_RDWR) && !is_path_only();
}
bool File::may_write() const {
  const std::uint32_t mode = flags_ & O_ACCMODE;
  return (mode == O_WRONLY || mode == O_RDWR) && !is_path_only();
}
std::int64_t File::read(Task& /*task*/, const UserBuffer& /*buffer*/, std::uint64_t /*offset*/) {
  return -EINVAL;
}
std::int64_t File::write(Task& /*task*/, const UserBuffer& /*buffer*/, std::uint64_t /*offset*/) {
  return -EINVAL;
}
std::int64_t File::write_bytes(Task& /*task*/, std::span<const std::byte> /*bytes*/) {
  return -EINVAL;
}
std::int64_t File::write_bytes_at(Task& task, std::span<const std::byte> bytes,
                                  std::uint64_t /*offset*/) {
  return write_bytes(task, bytes);
}
std::int64_t File::read_bytes(std::uint64_t offset, std::span<std::byte> to) {
  return node_->type() == kRegularFile ? node_->read_bytes(offset, to) : -EINVAL;
}
std::uint64_t File::size() const {
  return node_->size();
}
std::int64_t File::list(Task& /*task*/, const UserBuffer& /*buffer*/) {
  return -ENOTDIR;
}
std::int64_t File::control(Task& /*task*/, std::uint64_t /*request*/, std::uint64_t /*argument*/) {
  return -ENOTTY;
}

std::int64_t File::command(Task& /*task*/, std::uint32_t command, std::uint64_t /*argument*/) {
  constexpr std::uint32_t kSetPipeSize = 1031;
  constexpr std::uint32_t kGetPipeSize = 1032;
  return command == kSetPipeSize || command == kGetPipeSize ? -EBADF : -EINVAL;
}

std::int64_t DirectoryFile::read(Task& /*task*/, const UserBuffer& /*buffer*/,
                                 std::uint64_t /*offset*/) {
  return -EISDIR;
}

namespace {

constexpr std::uint64_t kOwnPosition = 1;     // of "."
constexpr std::uint64_t kParentPosition = 2;  // of ".."

bool next_item(Node& node, std::uint64_t position, Process* viewer, DirectoryItem& item) {
  if (position >= kParentPosition) {
    return node.next_entry(position, viewer, item);
  }
  const bool is_own = position < kOwnPosition;
  const Node& entry = is_own || node.parent() == nullptr ? node : *node.parent();
  item.name = is_own ? "." : "..";
  item.inode = entry.inode();
  item.type = kDirectory;
  item.position = is_own ? kOwnPosition : kParentPosition;
  return true;
}

}  // namespace

std::int64_t DirectoryFile::list(Task& task, const UserBuffer& buffer) {
  Process& process = *task.process;
  if (node().is_removed()) {
    return -ENOENT;
  }
  std::uint64_t used = 0;
  DirectoryItem item;
  while (next_item(node(), position(), &process, item)) {
    DirectoryEntry record = {};
    const std::size_t size = (kEntryHeader + item.name.size() + 1 + 7) & ~std::size_t{7};
    if (size > buffer.size() - used) {
      return used != 0 ? static_cast<std::int64_t>(used) : -EINVAL;
    }
    record.inode = item.inode;
    record.next = static_cast<std::int64_t>(item.position);
    record.size = static_cast<std::uint16_t>(size);
    record.type = static_cast<std::uint8_t>((item.type & kTypeMask) >> 12);
    std::memcpy(record.name, item.name.data(), item.name.size());
    if (!process.space().write(buffer.address() + used,
                               std::as_bytes(std::span(&record, 1)).first(size))) {
      return used != 0 ? static_cast<std::int64_t>(used) : -EFAULT;
    }
    used += size;
    set_position(item.position);
  }
  return static_cast<std::int64_t>(used);
}

std::int64_t ContentsFile::read(Task& /*task*/, const UserBuffer& buffer, std::uint64_t offset) {
  const std::span<const std::byte> contents = node().contents();
  return offset >= contents.size() ? 0 : buffer.fill(contents.subspan(offset));
}

Result<Reference<File>> Node::open(std::uint32_t flags, Process& /*opener*/) {
  if (!is_directory()) {
    return fail(ENXIO);
  }
  if ((flags & O_ACCMODE) != O_RDONLY) {
    return fail(EISDIR);
  }
  auto* file = new DirectoryFile(*this, flags);
  return file == nullptr ? Result<Reference<File>>(fail(ENOMEM)) : Reference<File>(file);
}

Result<Reference<File>> RootNode::open(std::uint32_t flags, Process& opener) {
  if (type() != kRegularFile) {
    return open_special(*this, flags, opener);
  }
  if ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0) {
    return fail(EROFS);
  }
  auto* file = new ContentsFile(*this, flags);
  return file == nullptr ? Result<Reference<File>>(fail(ENOMEM)) : Reference<File>(file);
}

}  // namespace linux_server
