#include <asm/fcntl.h>
#include <asm/stat.h>
#include <asm/statfs.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/stat.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/path.h"
#include "guest-kernel/linux/server/server.h"

// Calls on names: opening, asking for attributes, changing the directory.
namespace linux_server {
namespace {

constexpr std::uint64_t kCurrentDirectory = static_cast<std::uint32_t>(AT_FDCWD);
constexpr std::uint32_t kBlockSize = 4096;
constexpr std::uint64_t kSector = 512;

// The directory that a relative path of an ...at call starts in.
Result<Node*> start_of(Task& task, std::uint64_t directory) {
  const auto number = static_cast<std::uint32_t>(directory);
  if (number == kCurrentDirectory) {
    return task.process->working_directory;
  }
  const Reference<File> file = task.process->descriptors().find(number);
  if (!file) {
    return fail(EBADF);
  }
  return &file->node();
}

struct PathText {
  std::array<char, kMaximumPath> buffer;
  std::string_view text;
};

Result<void> read_path(Task& task, std::uint64_t address, PathText& path) {
  const auto text = task.process->space().read_string(address, path.buffer);
  if (!text) {
    return std::unexpected(text.error());
  }
  path.text = *text;
  return {};
}

Result<Place> find_place(Task& task, std::uint64_t directory, std::string_view path, bool follow) {
  Node* start = &server().root();
  if (!path.starts_with('/')) {
    const auto found = start_of(task, directory);
    if (!found) {
      return std::unexpected(found.error());
    }
    start = *found;
    if (!path.empty() && !start->is_directory()) {
      return fail(ENOTDIR);
    }
  }
  return resolve_place(server().root(), *start, path, follow, task.process);
}

Result<Node*> find_node(Task& task, std::uint64_t directory, std::uint64_t address, bool follow) {
  PathText path;
  if (const auto read = read_path(task, address, path); !read) {
    return std::unexpected(read.error());
  }
  const auto place = find_place(task, directory, path.text, follow);
  if (!place) {
    return std::unexpected(place.error());
  }
  return place->node != nullptr ? Result<Node*>(place->node) : fail(ENOENT);
}

std::int64_t open_at(Task& task, std::uint64_t directory, std::uint64_t address,
                     std::uint64_t open_flags) {
  const auto flags = static_cast<std::uint32_t>(open_flags);
  PathText path;
  if (const auto read = read_path(task, address, path); !read) {
    return -read.error().number;
  }
  const bool exclusive = (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
  const auto place =
      find_place(task, directory, path.text, (flags & O_NOFOLLOW) == 0 && !exclusive);
  if (!place) {
    return -place.error().number;
  }
  if (place->node == nullptr) {
    return (flags & O_CREAT) != 0 ? -EROFS : -ENOENT;
  }
  Node& node = *place->node;
  if (exclusive) {
    return -EEXIST;
  }
  if (node.is_link()) {
    return -ELOOP;
  }
  if ((flags & O_DIRECTORY) != 0 && !node.is_directory()) {
    return -ENOTDIR;
  }
  if ((flags & O_ACCMODE) == O_ACCMODE) {
    return -EINVAL;
  }
  if (node.is_directory() && (flags & O_CREAT) != 0) {
    return -EISDIR;
  }
  const auto file = node.open(flags & ~std::uint32_t{O_CLOEXEC}, *task.process);
  if (!file) {
    return -file.error().number;
  }
  return task.process->descriptors().add(*file, (flags & O_CLOEXEC) != 0);
}

std::int64_t call_open(Task& task) {
  return open_at(task, kCurrentDirectory, task.arguments[0], task.arguments[1]);
}
std::int64_t call_openat(Task& task) {
  return open_at(task, task.arguments[0], task.arguments[1], task.arguments[2]);
}
std::int64_t call_creat(Task& task) {
  return open_at(task, kCurrentDirectory, task.arguments[0], O_CREAT | O_WRONLY | O_TRUNC);
}

std::uint64_t device_id(std::uint32_t number) {
  // major << 8 | minor is also how Linux encodes small numbers for user space.
  return number;
}

std::int64_t give_stat(Task& task, const Node& node, std::uint64_t address) {
  const Attributes attributes = node.attributes(task.process);
  struct stat result = {};
  result.st_dev = attributes.device;
  result.st_ino = attributes.inode;
  result.st_nlink = attributes.links;
  result.st_mode = attributes.mode;
  result.st_uid = attributes.user;
  result.st_gid = attributes.group;
  result.st_rdev = device_id(attributes.device_number);
  result.st_size = static_cast<std::int64_t>(attributes.size);
  result.st_blksize = kBlockSize;
  result.st_blocks = static_cast<std::int64_t>((attributes.size + kSector - 1) / kSector);
  result.st_atime = result.st_mtime = result.st_ctime =
      static_cast<std::uint64_t>(attributes.modified);
  return task.process->space().write_value(address, result) ? 0 : -EFAULT;
}

std::int64_t give_statx(Task& task, const Node& node, std::uint64_t address) {
  const Attributes attributes = node.attributes(task.process);
  struct statx result = {};
  result.stx_mask = STATX_BASIC_STATS;
  result.stx_blksize = kBlockSize;
  result.stx_nlink = attributes.links;
  result.stx_uid = attributes.user;
  result.stx_gid = attributes.group;
  result.stx_mode = static_cast<std::uint16_t>(attributes.mode);
  result.stx_ino = attributes.inode;
  result.stx_size = attributes.size;
  result.stx_blocks = (attributes.size + kSector - 1) / kSector;
  result.stx_atime.tv_sec = result.stx_mtime.tv_sec = result.stx_ctime.tv_sec = attributes.modified;
  result.stx_rdev_major = attributes.device_number >> 8;
  result.stx_rdev_minor = attributes.device_number & 0xff;
  result.stx_dev_minor = static_cast<std::uint32_t>(attributes.device);
  return task.process->space().write_value(address, result) ? 0 : -EFAULT;
}

// The node of a path, or of a descriptor where the path is empty and `flags` allow that.
Result<Node*> find_with_flags(Task& task, std::uint64_t directory, std::uint64_t address,
                              std::uint64_t flags) {
  PathText path;
  if (address == 0 && (flags & AT_EMPTY_PATH) != 0) {
    path.text = {};
  } else if (const auto read = read_path(task, address, path); !read) {
    return std::unexpected(read.error());
  }
  if (path.text.empty() && (flags & AT_EMPTY_PATH) != 0) {
    return start_of(task, directory);
  }
  const auto place = find_place(task, directory, path.text, (flags & AT_SYMLINK_NOFOLLOW) == 0);
  if (!place) {
    return std::unexpected(place.error());
  }
  return place->node != nullptr ? Result<Node*>(place->node) : fail(ENOENT);
}

std::int64_t call_stat(Task& task) {
  const auto node = find_node(task, kCurrentDirectory, task.arguments[0], true);
  return node ? give_stat(task, **node, task.arguments[1]) : -node.error().number;
}
std::int64_t call_lstat(Task& task) {
  const auto node = find_node(task, kCurrentDirectory, task.arguments[0], false);
  return node ? give_stat(task, **node, task.arguments[1]) : -node.error().number;
}
std::int64_t call_fstat(Task& task) {
  const Reference<File> file =
      task.process->descriptors().find(static_cast<std::uint32_t>(task.arguments[0]));
  return file ? give_stat(task, file->node(), task.arguments[1]) : -EBADF;
}
std::int64_t call_newfstatat(Task& task) {
  constexpr std::uint64_t kKnown = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT;
  const std::uint64_t flags = static_cast<std::uint32_t>(task.arguments[3]);
  if ((flags & ~kKnown) != 0) {
    return -EINVAL;
  }
  const auto node = find_with_flags(task, task.arguments[0], task.arguments[1], flags);
  return node ? give_stat(task, **node, task.arguments[2]) : -node.error().number;
}
std::int64_t call_statx(Task& task) {
  constexpr std::uint64_t kKnown =
      AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE;
  const std::uint64_t flags = static_cast<std::uint32_t>(task.arguments[2]);
  if ((flags & ~kKnown) != 0 || (task.arguments[3] & STATX__RESERVED) != 0) {
    return -EINVAL;
  }
  const auto node = find_with_flags(task, task.arguments[0], task.arguments[1], flags);
  return node ? give_statx(task, **node, task.arguments[4]) : -node.error().number;
}

std::int64_t check_access(Task& task, const Result<Node*>& node, std::uint64_t mode) {
  constexpr std::uint64_t kExecute = 1;
  constexpr std::uint64_t kWrite = 2;
  if ((mode & ~std::uint64_t{7}) != 0) {
    return -EINVAL;
  }
  if (!node) {
    return -node.error().number;
  }
  // Everyone is root: only a file that nobody may execute, and the read-only root, say no.
  const Node& found = **node;
  if ((mode & kExecute) != 0 && !found.is_directory() && !found.is_executable()) {
    return -EACCES;
  }
  const std::uint32_t type = found.type();
  const bool on_root = found.attributes(task.process).device == kRootDevice;
  return (mode & kWrite) != 0 && on_root && (type == kRegularFile || type == kDirectory) ? -EROFS
                                                                                         : 0;
}

std::int64_t call_access(Task& task) {
  return check_access(task, find_node(task, kCurrentDirectory, task.arguments[0], true),
                      static_cast<std::uint32_t>(task.arguments[1]));
}
std::int64_t call_faccessat(Task& task) {
  return check_access(task, find_node(task, task.arguments[0], task.arguments[1], true),
                      static_cast<std::uint32_t>(task.arguments[2]));
}
std::int64_t call_faccessat2(Task& task) {
  const std::uint64_t flags = static_cast<std::uint32_t>(task.arguments[3]);
  if ((flags & ~std::uint64_t{AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_EACCESS}) != 0) {
    return -EINVAL;
  }
  return check_access(task, find_with_flags(task, task.arguments[0], task.arguments[1], flags),
                      static_cast<std::uint32_t>(task.arguments[2]));
}

std::int64_t read_link_at(Task& task, std::uint64_t directory, std::uint64_t path,
                          std::uint64_t address, std::uint64_t size) {
  if (static_cast<std::int32_t>(size) <= 0) {
    return -EINVAL;
  }
  const auto node = find_with_flags(task, directory, path, AT_SYMLINK_NOFOLLOW);
  if (!node) {
    return -node.error().number;
  }
  std::array<char, kMaximumPath> buffer;
  const auto target = (*node)->read_link(buffer, task.process);
  if (!target) {
    return -target.error().number;
  }
  return UserBuffer(task.process->space(), address, static_cast<std::uint32_t>(size))
      .fill(std::as_bytes(std::span(*target)));
}
std::int64_t call_readlink(Task& task) {
  return read_link_at(task, kCurrentDirectory, task.arguments[0], task.arguments[1],
                      task.arguments[2]);
}
std::int64_t call_readlinkat(Task& task) {
  return read_link_at(task, task.arguments[0], task.arguments[1], task.arguments[2],
                      task.arguments[3]);
}

std::int64_t call_getcwd(Task& task) {
  std::array<char, kMaximumPath> buffer;
  buffer.back() = '\0';
  const std::string_view path =
      task.process->working_directory->path(std::span(buffer).first(buffer.size() - 1));
  if (path.empty()) {
    return -ENAMETOOLONG;
  }
  const std::size_t size = path.size() + 1;
  if (task.arguments[1] < size) {
    return -ERANGE;
  }
  const auto bytes = std::as_bytes(std::span(path.data(), size));
  return task.process->space().write(task.arguments[0], bytes) ? static_cast<std::int64_t>(size)
                                                               : -EFAULT;
}

std::int64_t enter(Task& task, const Result<Node*>& node) {
  if (!node) {
    return -node.error().number;
  }
  if (!(*node)->is_directory()) {
    return -ENOTDIR;
  }
  task.process->working_directory = *node;
  return 0;
}
std::int64_t call_chdir(Task& task) {
  return enter(task, find_node(task, kCurrentDirectory, task.arguments[0], true));
}
std::int64_t call_fchdir(Task& task) {
  const Reference<File> file =
      task.process->descriptors().find(static_cast<std::uint32_t>(task.arguments[0]));
  return file ? enter(task, &file->node()) : -EBADF;
}

std::int64_t give_statfs(Task& task, const Node& node, std::uint64_t address) {
  struct statfs result = {};
  result.f_type =
      node.attributes(task.process).device == kRootDevice ? TMPFS_MAGIC : PROC_SUPER_MAGIC;
  result.f_bsize = kBlockSize;
  result.f_frsize = kBlockSize;
  result.f_blocks = static_cast<std::int64_t>(server().archive().size() / kBlockSize);
  result.f_namelen = kMaximumName;
  result.f_flags = 1;  // ST_RDONLY
  return task.process->space().write_value(address, result) ? 0 : -EFAULT;
}
std::int64_t call_statfs(Task& task) {
  const auto node = find_node(task, kCurrentDirectory, task.arguments[0], true);
  return node ? give_statfs(task, **node, task.arguments[1]) : -node.error().number;
}
std::int64_t call_fstatfs(Task& task) {
  const Reference<File> file =
      task.process->descriptors().find(static_cast<std::uint32_t>(task.arguments[0]));
  return file ? give_statfs(task, file->node(), task.arguments[1]) : -EBADF;
}

// All file systems are read-only: a change of what exists is EROFS, what does not exist ENOENT.
std::int64_t refuse_change(Task& task, std::uint64_t directory, std::uint64_t path) {
  const auto node = find_node(task, directory, path, false);
  return node ? -EROFS : -node.error().number;
}
std::int64_t refuse_creation(Task& task, std::uint64_t directory, std::uint64_t path) {
  const auto node = find_node(task, directory, path, false);
  if (node) {
    return -EEXIST;
  }
  return node.error().number == ENOENT ? -EROFS : -node.error().number;
}
std::int64_t change_first(Task& task) {
  return refuse_change(task, kCurrentDirectory, task.arguments[0]);
}
std::int64_t change_at(Task& task) {
  return refuse_change(task, task.arguments[0], task.arguments[1]);
}
std::int64_t create_first(Task& task) {
  return refuse_creation(task, kCurrentDirectory, task.arguments[0]);
}
std::int64_t create_second(Task& task) {
  return refuse_creation(task, kCurrentDirectory, task.arguments[1]);
}
std::int64_t create_at(Task& task) {
  return refuse_creation(task, task.arguments[0], task.arguments[1]);
}

std::int64_t call_umask(Task& task) {
  const std::uint32_t old = task.process->file_mode_mask;
  task.process->file_mode_mask = static_cast<std::uint32_t>(task.arguments[0]) & 0777;
  return old;
}

constexpr CallEntry kCalls[] = {
    {__NR_open, call_open},
    {__NR_openat, call_openat},
    {__NR_creat, call_creat},
    {__NR_stat, call_stat},
    {__NR_lstat, call_lstat},
    {__NR_fstat, call_fstat},
    {__NR_newfstatat, call_newfstatat},
    {__NR_statx, call_statx},
    {__NR_access, call_access},
    {__NR_faccessat, call_faccessat},
    {__NR_faccessat2, call_faccessat2},
    {__NR_readlink, call_readlink},
    {__NR_readlinkat, call_readlinkat},
    {__NR_getcwd, call_getcwd},
    {__NR_chdir, call_chdir},
    {__NR_fchdir, call_fchdir},
    {__NR_statfs, call_statfs},
    {__NR_fstatfs, call_fstatfs},
    {__NR_umask, call_umask},
    {__NR_unlink, change_first},
    {__NR_rmdir, change_first},
    {__NR_rename, change_first},
    {__NR_chmod, change_first},
    {__NR_chown, change_first},
    {__NR_lchown, change_first},
    {__NR_truncate, change_first},
    {__NR_utime, change_first},
    {__NR_utimes, change_first},
    {__NR_unlinkat, change_at},
    {__NR_renameat, change_at},
    {__NR_renameat2, change_at},
    {__NR_fchmodat, change_at},
    {__NR_fchownat, change_at},
    {__NR_utimensat, change_at},
    {__NR_mkdir, create_first},
    {__NR_mknod, create_first},
    {__NR_symlink, create_second},
    {__NR_link, create_second},
    {__NR_mkdirat, create_at},
    {__NR_mknodat, create_at},
};

}  // namespace

std::span<const CallEntry> path_calls() {
  return kCalls;
}

}  // namespace linux_server
