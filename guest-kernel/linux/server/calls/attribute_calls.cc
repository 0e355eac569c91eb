#include <asm/fcntl.h>
#include <asm/stat.h>
#include <asm/statfs.h>
#include <asm/unistd.h>
#include <linux/magic.h>
#include <linux/stat.h>

#include <algorithm>
#include <array>
#include <utility>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/calls/path_support.h"
#include "guest-kernel/linux/server/files/disk_file_system.h"
#include "guest-kernel/linux/server/files/tmpfs.h"
#include "guest-kernel/linux/server/mounts.h"
#include "guest-kernel/linux/server/notify.h"
#include "guest-kernel/linux/server/page_tree.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/time_value.h"

// Calls that ask for attributes of files, and those that change them.
namespace linux_server {
namespace {

constexpr std::uint32_t kBlockSize = 4096;
constexpr std::uint64_t kSector = 512;
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::uint32_t kUnchanged = ~std::uint32_t{0};

// Seconds and the nanoseconds of them, also of times before 1970.
struct SplitTime {
  std::int64_t seconds;
  std::uint32_t nanoseconds;
};
SplitTime split(std::int64_t time) {
  std::int64_t seconds = time / kSecond;
  std::int64_t rest = time % kSecond;
  if (rest < 0) {
    rest += kSecond;
    --seconds;
  }
  return {seconds, static_cast<std::uint32_t>(rest)};
}

std::int64_t give_stat(Task& task, const Node& node, std::uint64_t address) {
  const Attributes attributes = node.attributes(task.process);
  const SplitTime accessed = split(attributes.accessed);
  const SplitTime modified = split(attributes.modified);
  const SplitTime changed = split(attributes.changed);
  struct stat result = {};
  result.st_dev = attributes.device;
  result.st_ino = attributes.inode;
  result.st_nlink = attributes.links;
  result.st_mode = attributes.mode;
  result.st_uid = attributes.user;
  result.st_gid = attributes.group;
  result.st_rdev = attributes.device_number;
  result.st_size = static_cast<std::int64_t>(attributes.size);
  result.st_blksize = kBlockSize;
  result.st_blocks = static_cast<std::int64_t>(attributes.allocated / kSector);
  result.st_atime = static_cast<std::uint64_t>(accessed.seconds);
  result.st_atime_nsec = accessed.nanoseconds;
  result.st_mtime = static_cast<std::uint64_t>(modified.seconds);
  result.st_mtime_nsec = modified.nanoseconds;
  result.st_ctime = static_cast<std::uint64_t>(changed.seconds);
  result.st_ctime_nsec = changed.nanoseconds;
  return task.process->space().write_value(address, result) ? 0 : -EFAULT;
}

statx_timestamp as_timestamp(std::int64_t time) {
  const SplitTime parts = split(time);
  statx_timestamp result = {};
  result.tv_sec = parts.seconds;
  result.tv_nsec = parts.nanoseconds;
  return result;
}

std::int64_t give_statx(Task& task, const Node& node, std::uint64_t address) {
  constexpr std::uint32_t kMountId = 0x1000;  // STATX_MNT_ID
  const Attributes attributes = node.attributes(task.process);
  const Mount* mount = mount_of(attributes.device);
  struct statx result = {};
  result.stx_mask = STATX_BASIC_STATS | STATX_BTIME | (mount != nullptr ? kMountId : 0);
  result.stx_blksize = kBlockSize;
  result.stx_nlink = attributes.links;
  result.stx_uid = attributes.user;
  result.stx_gid = attributes.group;
  result.stx_mode = static_cast<std::uint16_t>(attributes.mode);
  result.stx_ino = attributes.inode;
  result.stx_size = attributes.size;
  result.stx_blocks = attributes.allocated / kSector;
  result.stx_atime = as_timestamp(attributes.accessed);
  result.stx_mtime = as_timestamp(attributes.modified);
  result.stx_ctime = as_timestamp(attributes.changed);
  result.stx_btime = as_timestamp(attributes.created);
  result.stx_rdev_major = attributes.device_number >> 8 & 0xfff;
  result.stx_rdev_minor =
      (attributes.device_number & 0xff) | (attributes.device_number >> 12 & 0xfff00);
  result.stx_dev_minor = attributes.device;
  if (mount != nullptr) {
    result.stx_mnt_id = mount->id;
    result.stx_attributes_mask = STATX_ATTR_MOUNT_ROOT;
    result.stx_attributes = mount->root == &node ? STATX_ATTR_MOUNT_ROOT : 0;
  }
  return task.process->space().write_value(address, result) ? 0 : -EFAULT;
}

std::int64_t give_found(Task& task, const Result<Reference<Node>>& node, std::uint64_t address) {
  return node ? give_stat(task, **node, address) : as_error(node);
}
std::int64_t call_stat(Task& task) {
  return give_found(task, find_node(task, kCurrentDirectory, task.arguments[0], true),
                    task.arguments[1]);
}
std::int64_t call_lstat(Task& task) {
  return give_found(task, find_node(task, kCurrentDirectory, task.arguments[0], false),
                    task.arguments[1]);
}
std::int64_t call_fstat(Task& task) {
  const Reference<File> file = any_file_of(task, task.arguments[0]);
  return file ? give_stat(task, file->node(), task.arguments[1]) : -EBADF;
}
std::int64_t call_newfstatat(Task& task) {
  constexpr std::uint64_t kKnown = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT;
  const std::uint64_t flags = static_cast<std::uint32_t>(task.arguments[3]);
  if ((flags & ~kKnown) != 0) {
    return -EINVAL;
  }
  return give_found(task, find_with_flags(task, task.arguments[0], task.arguments[1], flags),
                    task.arguments[2]);
}
std::int64_t call_statx(Task& task) {
  constexpr std::uint64_t kKnown =
      AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE;
  const std::uint64_t flags = static_cast<std::uint32_t>(task.arguments[2]);
  if ((flags & ~kKnown) != 0 || (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE ||
      (task.arguments[3] & STATX__RESERVED) != 0) {
    return -EINVAL;
  }
  const auto node = find_with_flags(task, task.arguments[0], task.arguments[1], flags);
  return node ? give_statx(task, **node, task.arguments[4]) : as_error(node);
}

// Lets a process act with other credentials for the time of a call.
class ActAs {
 public:
  ActAs(Process& process, Credentials credentials)
      : process_(process), own_(std::exchange(process.credentials, std::move(credentials))) {}
  ActAs(const ActAs&) = delete;
  ActAs& operator=(const ActAs&) = delete;
  ~ActAs() { process_.credentials = std::move(own_); }

 private:
  Process& process_;
  Credentials own_;
};

std::int64_t judge_access(Task& task, std::uint64_t directory, std::uint64_t path,
                          std::uint64_t mode, std::uint64_t flags) {
  constexpr std::uint32_t kKnownFlags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_EACCESS;
  const auto wanted = static_cast<std::uint32_t>(mode);
  if ((wanted & ~7u) != 0 || (static_cast<std::uint32_t>(flags) & ~kKnownFlags) != 0) {
    return -EINVAL;
  }
  const auto node = find_with_flags(task, directory, path, flags);
  if (!node) {
    return as_error(node);
  }
  const std::uint32_t type = (*node)->type();
  if ((wanted & kMayWrite) != 0 && is_read_only(**node) &&
      (type == kRegularFile || type == kDirectory || type == kSymbolicLink)) {
    return -EROFS;
  }
  return is_allowed(task, **node, wanted) ? 0 : -EACCES;
}
// For the real user, unless AT_EACCESS asks for the effective one.
std::int64_t check_access(Task& task, std::uint64_t directory, std::uint64_t path,
                          std::uint64_t mode, std::uint64_t flags) {
  const Credentials& own = task.process->credentials;
  if ((flags & AT_EACCESS) != 0 || (own.real_user == own.user && own.real_group == own.group)) {
    return judge_access(task, directory, path, mode, flags);
  }
  const ActAs real_user(*task.process, as_real_user(own));
  return judge_access(task, directory, path, mode, flags);
}
std::int64_t call_access(Task& task) {
  return check_access(task, kCurrentDirectory, task.arguments[0], task.arguments[1], 0);
}
std::int64_t call_faccessat(Task& task) {
  return check_access(task, task.arguments[0], task.arguments[1], task.arguments[2], 0);
}
std::int64_t call_faccessat2(Task& task) {
  return check_access(task, task.arguments[0], task.arguments[1], task.arguments[2],
                      task.arguments[3]);
}

std::int64_t apply(Node& node, const AttributeChange& change) {
  if (is_read_only(node)) {
    return -EROFS;
  }
  const auto changed = node.change(change);
  if (changed) {
    notify(node, NodeEvent::kAttributesChanged);
  }
  return as_error(changed);
}

std::int64_t change_mode(Task& task, const Result<Reference<Node>>& node, std::uint64_t mode) {
  if (!node) {
    return as_error(node);
  }
  if (is_read_only(**node)) {
    return -EROFS;
  }
  if (!is_owner(task, **node)) {
    return -EPERM;
  }
  if ((*node)->is_link()) {
    return -EOPNOTSUPP;
  }
  AttributeChange change;
  change.permissions = static_cast<std::uint32_t>(mode) & kPermissionMask;
  const Credentials& credentials = task.process->credentials;
  if (!credentials.has(Capability::kKeepSetId) &&
      !credentials.is_in((*node)->attributes(task.process).group)) {
    *change.permissions &= ~kSetGroupId;
  }
  return apply(**node, change);
}
std::int64_t call_chmod(Task& task) {
  return change_mode(task, find_node(task, kCurrentDirectory, task.arguments[0], true),
                     task.arguments[1]);
}
std::int64_t call_fchmodat(Task& task) {
  return change_mode(task, find_node(task, task.arguments[0], task.arguments[1], true),
                     task.arguments[2]);
}
std::int64_t call_fchmodat2(Task& task) {
  const std::uint64_t flags = static_cast<std::uint32_t>(task.arguments[3]);
  if ((flags & ~std::uint64_t{AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH}) != 0) {
    return -EINVAL;
  }
  return change_mode(task, find_with_flags(task, task.arguments[0], task.arguments[1], flags),
                     task.arguments[2]);
}
std::int64_t call_fchmod(Task& task) {
  const Reference<File> file = file_of(task, task.arguments[0]);
  return file ? change_mode(task, Reference<Node>(&file->node()), task.arguments[1]) : -EBADF;
}

std::int64_t change_owner(Task& task, const Result<Reference<Node>>& node, std::uint64_t user,
                          std::uint64_t group) {
  if (!node) {
    return as_error(node);
  }
  if (is_read_only(**node)) {
    return -EROFS;
  }
  const auto new_user = static_cast<std::uint32_t>(user);
  const auto new_group = static_cast<std::uint32_t>(group);
  const Attributes attributes = (*node)->attributes(task.process);
  const Credentials& credentials = task.process->credentials;
  AttributeChange change;
  if (new_user != kUnchanged) {
    change.user = new_user;
  }
  if (new_group != kUnchanged) {
    change.group = new_group;
  }
  const bool own = credentials.user == attributes.user;
  if (!credentials.has(Capability::kChangeOwner) &&
      ((change.user && (!own || new_user != attributes.user)) ||
       (change.group &&
        (!own || (!credentials.is_in(new_group) && new_group != attributes.group))))) {
    return -EPERM;
  }
  // The bits that would now mean somebody else.
  if (!(*node)->is_directory()) {
    const bool of_group = (attributes.mode & (kSetGroupId | 0010)) == (kSetGroupId | 0010);
    change.permissions =
        attributes.mode & kPermissionMask & ~(kSetUserId | (of_group ? kSetGroupId : 0));
  }
  return apply(**node, change);
}
std::int64_t call_chown(Task& task) {
  return change_owner(task, find_node(task, kCurrentDirectory, task.arguments[0], true),
                      task.arguments[1], task.arguments[2]);
}
std::int64_t call_lchown(Task& task) {
  return change_owner(task, find_node(task, kCurrentDirectory, task.arguments[0], false),
                      task.arguments[1], task.arguments[2]);
}
std::int64_t call_fchown(Task& task) {
  const Reference<File> file = file_of(task, task.arguments[0]);
  return file ? change_owner(task, Reference<Node>(&file->node()), task.arguments[1],
                             task.arguments[2])
              : -EBADF;
}
std::int64_t call_fchownat(Task& task) {
  const std::uint64_t flags = static_cast<std::uint32_t>(task.arguments[4]);
  if ((flags & ~std::uint64_t{AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH}) != 0) {
    return -EINVAL;
  }
  return change_owner(task, find_with_flags(task, task.arguments[0], task.arguments[1], flags),
                      task.arguments[2], task.arguments[3]);
}

// Sets both times; `none_given`: to now, which those who may write may do.
std::int64_t change_times(Task& task, const Result<Reference<Node>>& node,
                          const AttributeChange& change, bool none_given) {
  if (!node) {
    return as_error(node);
  }
  if (is_read_only(**node)) {
    return -EROFS;
  }
  if (!is_owner(task, **node)) {
    if (!none_given) {
      return -EPERM;
    }
    if (!is_allowed(task, **node, kMayWrite)) {
      return -EACCES;
    }
  }
  return apply(**node, change);
}

// One of utimensat's times. EINVAL.
Result<std::optional<std::int64_t>> time_of(const TimeSpec& value, std::int64_t now) {
  constexpr std::int64_t kNow = 0x3fff'ffff;
  constexpr std::int64_t kOmit = 0x3fff'fffe;
  // What a signed 64-bit count of nanoseconds holds.
  constexpr std::int64_t kLargest = 9'223'372'035;
  if (value.nanoseconds == kNow) {
    return now;
  }
  if (value.nanoseconds == kOmit) {
    return std::optional<std::int64_t>();
  }
  if (value.nanoseconds < 0 || value.nanoseconds >= kSecond) {
    return fail(EINVAL);
  }
  return std::clamp(value.seconds, -kLargest, kLargest) * kSecond + value.nanoseconds;
}

std::int64_t call_utimensat(Task& task) {
  const std::uint64_t flags = static_cast<std::uint32_t>(task.arguments[3]);
  const std::int64_t now = file_time();
  AttributeChange change;
  bool none_given = true;
  if (task.arguments[2] != 0) {
    const auto times = task.process->space().read_value<std::array<TimeSpec, 2>>(task.arguments[2]);
    if (!times) {
      return -EFAULT;
    }
    const auto accessed = time_of((*times)[0], now);
    const auto modified = time_of((*times)[1], now);
    if (!accessed || !modified) {
      return -EINVAL;
    }
    if (!*accessed && !*modified) {
      return 0;
    }
    change.accessed = *accessed;
    change.modified = *modified;
    none_given = *accessed == now && *modified == now;
  } else {
    change.accessed = change.modified = now;
  }
  if ((flags & ~std::uint64_t{AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH}) != 0) {
    return -EINVAL;
  }
  if (task.arguments[1] == 0) {
    // futimens: the descriptor's file.
    if (static_cast<std::uint32_t>(task.arguments[0]) == kCurrentDirectory) {
      return -EFAULT;
    }
    const Reference<File> file = file_of(task, task.arguments[0]);
    if (flags != 0) {
      return -EINVAL;
    }
    return file ? change_times(task, Reference<Node>(&file->node()), change, none_given) : -EBADF;
  }
  return change_times(task, find_with_flags(task, task.arguments[0], task.arguments[1], flags),
                      change, none_given);
}

// utimes and futimesat: microseconds.
std::int64_t change_micro_times(Task& task, std::uint64_t directory, std::uint64_t path,
                                std::uint64_t address) {
  AttributeChange change;
  change.accessed = change.modified = file_time();
  if (address != 0) {
    const auto times = task.process->space().read_value<std::array<TimeValue, 2>>(address);
    if (!times) {
      return -EFAULT;
    }
    for (const TimeValue& time : *times) {
      if (time.microseconds < 0 || time.microseconds >= 1'000'000) {
        return -EINVAL;
      }
    }
    const auto convert = [](const TimeValue& time) {
      return *time_of({time.seconds, time.microseconds * 1000}, 0);
    };
    change.accessed = convert((*times)[0]);
    change.modified = convert((*times)[1]);
  }
  return change_times(task, find_node(task, directory, path, true), change, address == 0);
}
std::int64_t call_utimes(Task& task) {
  return change_micro_times(task, kCurrentDirectory, task.arguments[0], task.arguments[1]);
}
std::int64_t call_futimesat(Task& task) {
  return change_micro_times(task, task.arguments[0], task.arguments[1], task.arguments[2]);
}
std::int64_t call_utime(Task& task) {
  AttributeChange change;
  change.accessed = change.modified = file_time();
  if (task.arguments[1] != 0) {
    const auto times =
        task.process->space().read_value<std::array<std::int64_t, 2>>(task.arguments[1]);
    if (!times) {
      return -EFAULT;
    }
    change.accessed = *time_of({(*times)[0], 0}, 0);
    change.modified = *time_of({(*times)[1], 0}, 0);
  }
  return change_times(task, find_node(task, kCurrentDirectory, task.arguments[0], true), change,
                      task.arguments[1] == 0);
}

std::int64_t magic_without_mount(const Node& node) {
  switch (node.type()) {
    case kNamedPipe:
      return PIPEFS_MAGIC;
    case kSocket:
      return SOCKFS_MAGIC;
    default:
      return ANON_INODE_FS_MAGIC;
  }
}

std::int64_t give_statfs(Task& task, const Node& node, std::uint64_t address) {
  struct statfs result = {};
  const Mount* mount = mount_of(node);
  constexpr std::int64_t kReadOnly = 1;  // ST_RDONLY
  constexpr std::int64_t kValid = 0x20;  // ST_VALID
  constexpr std::int64_t kRelativeTimes = 0x1000;
  result.f_type = mount != nullptr ? mount->magic : magic_without_mount(node);
  result.f_bsize = result.f_frsize = kBlockSize;
  result.f_namelen = kMaximumName;
  result.f_flags = kValid | kRelativeTimes | (mount != nullptr && mount->read_only ? kReadOnly : 0);
  result.f_fsid.val[0] = static_cast<int>(node.device());
  if (node.device() == kRootDevice) {
    result.f_blocks = static_cast<std::int64_t>(server().archive().size() / kBlockSize);
  } else if (mount != nullptr && mount->magic == TMPFS_MAGIC) {
    const std::uint64_t limit = file_memory_limit();
    const std::uint64_t left = limit - std::min(limit, file_memory_used());
    result.f_blocks = result.f_files = static_cast<std::int64_t>(limit);
    result.f_bfree = result.f_bavail = static_cast<std::int64_t>(left);
    result.f_ffree = static_cast<std::int64_t>(limit - std::min(limit, InodeShare::used()));
  } else if (mount != nullptr && mount->magic == EXT4_SUPER_MAGIC) {
    if (const int failed = disk_file_system().describe(result)) {
      return -failed;
    }
  }
  return task.process->space().write_value(address, result) ? 0 : -EFAULT;
}
std::int64_t call_statfs(Task& task) {
  const auto node = find_node(task, kCurrentDirectory, task.arguments[0], true);
  return node ? give_statfs(task, **node, task.arguments[1]) : as_error(node);
}
std::int64_t call_fstatfs(Task& task) {
  const Reference<File> file = any_file_of(task, task.arguments[0]);
  return file ? give_statfs(task, file->node(), task.arguments[1]) : -EBADF;
}

constexpr CallEntry kCalls[] = {
    {__NR_stat, call_stat},           {__NR_lstat, call_lstat},
    {__NR_fstat, call_fstat},         {__NR_newfstatat, call_newfstatat},
    {__NR_statx, call_statx},         {__NR_access, call_access},
    {__NR_faccessat, call_faccessat}, {__NR_faccessat2, call_faccessat2},
    {__NR_chmod, call_chmod},         {__NR_fchmod, call_fchmod},
    {__NR_fchmodat, call_fchmodat},   {452, call_fchmodat2},
    {__NR_chown, call_chown},         {__NR_lchown, call_lchown},
    {__NR_fchown, call_fchown},       {__NR_fchownat, call_fchownat},
    {__NR_utimensat, call_utimensat}, {__NR_utimes, call_utimes},
    {__NR_futimesat, call_futimesat}, {__NR_utime, call_utime},
    {__NR_statfs, call_statfs},       {__NR_fstatfs, call_fstatfs},
};

}  // namespace

std::span<const CallEntry> attribute_calls() {
  return kCalls;
}

}  // namespace linux_server
