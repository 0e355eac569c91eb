#include "guest-kernel/linux/server/file.h"

#include <asm/fcntl.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <new>

#include "guest-kernel/linux/server/path.h"
#include "guest-kernel/linux/server/process.h"
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

File::~File() {
  while (first_watch_ != nullptr) {
    FileWatch& watch = *first_watch_;
    watch.stop_watching();
    watch.file_is_gone();
  }
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
  return (flags_ & O_ACCMODE) != O_WRONLY;
}
bool File::may_write() const {
  return (flags_ & O_ACCMODE) != O_RDONLY;
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
std::uint64_t File::size() const {
  return node_.attributes(nullptr).size;
}
std::int64_t File::list(Task& /*task*/, const UserBuffer& /*buffer*/) {
  return -ENOTDIR;
}
std::int64_t File::control(Task& /*task*/, std::uint64_t /*request*/, std::uint64_t /*argument*/) {
  return -ENOTTY;
}

std::int64_t DirectoryFile::read(Task& /*task*/, const UserBuffer& /*buffer*/,
                                 std::uint64_t /*offset*/) {
  return -EISDIR;
}

std::int64_t DirectoryFile::list(Task& task, const UserBuffer& buffer) {
  Process& process = *task.process;
  std::uint64_t used = 0;
  for (;; ++position) {
    std::string_view name;
    Node* entry = nullptr;
    if (position < 2) {
      name = position == 0 ? "." : "..";
      entry = position == 0 || node().parent() == nullptr ? &node() : node().parent();
    } else {
      entry = node().entry(position - 2, &process);
      if (entry == nullptr) {
        break;
      }
      name = entry->name();
    }
    DirectoryEntry record = {};
    const std::size_t size = (kEntryHeader + name.size() + 1 + 7) & ~std::size_t{7};
    if (size > buffer.size() - used) {
      return used != 0 ? static_cast<std::int64_t>(used) : -EINVAL;
    }
    const Attributes attributes = entry->attributes(&process);
    record.inode = attributes.inode;
    record.next = static_cast<std::int64_t>(position + 1);
    record.size = static_cast<std::uint16_t>(size);
    record.type = static_cast<std::uint8_t>((attributes.mode & kTypeMask) >> 12);
    std::memcpy(record.name, name.data(), name.size());
    if (!process.space().write(buffer.address() + used,
                               std::as_bytes(std::span(&record, 1)).first(size))) {
      return used != 0 ? static_cast<std::int64_t>(used) : -EFAULT;
    }
    used += size;
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

Result<Reference<File>> RootNode::open(std::uint32_t flags, Process& /*opener*/) {
  if (type() != kRegularFile) {
    return fail(ENXIO);
  }
  if ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0) {
    return fail(EROFS);
  }
  auto* file = new ContentsFile(*this, flags);
  return file == nullptr ? Result<Reference<File>>(fail(ENOMEM)) : Reference<File>(file);
}

}  // namespace linux_server
