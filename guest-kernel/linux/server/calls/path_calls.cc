#include <asm/fcntl.h>
#include <asm/unistd.h>
#include <linux/openat2.h>

#include <algorithm>
#include <array>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/calls/path_support.h"
#include "guest-kernel/linux/server/files/named_pipe.h"
#include "guest-kernel/linux/server/mounts.h"
#include "guest-kernel/linux/server/notify.h"

// Calls on names: opening, reading links, changing the directory.
namespace linux_server {
namespace {

constexpr std::uint32_t kTemporary = O_TMPFILE & ~O_DIRECTORY;

NewNode new_node(const Process& process, std::uint32_t type, std::uint64_t mode,
                 const Node& directory) {
  const StoredAttributes above = directory.attributes(&process);
  NewNode what;
  what.mode = type | (static_cast<std::uint32_t>(mode) & kPermissionMask & ~process.file_mode_mask);
  what.user = process.credentials.user;
  what.group = (above.mode & kSetGroupId) != 0 ? above.group : process.credentials.group;
  return what;
}

std::uint32_t wanted_permission(std::uint32_t flags) {
  constexpr std::array<std::uint32_t, 4> kOfMode = {kMayRead, kMayWrite, kMayRead | kMayWrite,
                                                    kMayRead | kMayWrite};
  return kOfMode[flags & O_ACCMODE] | ((flags & O_TRUNC) != 0 ? std::uint32_t{kMayWrite} : 0);
}

// What an existing node says to being opened so. Returns a negative errno or 0.
std::int64_t check_open(Task& task, Node& node, std::uint32_t flags) {
  const std::uint32_t wanted = wanted_permission(flags);
  if ((flags & O_DIRECTORY) != 0 && !node.is_directory()) {
    return -ENOTDIR;
  }
  if (node.is_link()) {
    return -ELOOP;
  }
  if (node.is_directory() && (wanted & kMayWrite) != 0) {
    return -EISDIR;
  }
  if ((wanted & kMayWrite) != 0 && node.type() == kRegularFile && is_read_only(node)) {
    return -EROFS;
  }
  if (!is_allowed(task, node, wanted)) {
    return -EACCES;
  }
  if ((wanted & kMayWrite) != 0 && node.executions != 0) {
    return -ETXTBSY;
  }
  if ((flags & O_NOATIME) != 0 && !is_owner(task, node)) {
    return -EPERM;
  }
  return 0;
}

std::int64_t give_descriptor(Task& task, const Reference<File>& file, std::uint32_t flags) {
  return task.process->descriptors().add(file, (flags & O_CLOEXEC) != 0);
}

std::int64_t open_node(Task& task, Node& node, std::uint32_t flags) {
  // Only terminals have a use for the last, and drop it then.
  const std::uint32_t dropped = O_CLOEXEC | O_CREAT | O_EXCL |
                                (node.type() != kCharacterDevice ? std::uint32_t{O_NOCTTY} : 0);
  const std::uint32_t kept = (flags & ~dropped) | O_LARGEFILE;
  const Reference<Node> share(&node);
  const auto file = node.type() == kNamedPipe ? open_named_pipe(task, node, kept)
                                              : node.open(kept, *task.process);
  if (!file) {
    return file.error().number == kOpenBlocked ? kBlocked : as_error(file);
  }
  const std::int64_t descriptor = give_descriptor(task, *file, flags);
  if (descriptor >= 0) {
    notify(node, NodeEvent::kOpened);
  }
  return descriptor;
}

std::int64_t open_place_only(Task& task, const Place& place, std::uint32_t flags) {
  constexpr std::uint32_t kKept = O_PATH | O_DIRECTORY | O_NOFOLLOW;
  if (!place.node) {
    return -ENOENT;
  }
  if ((flags & O_DIRECTORY) != 0 && !place.node->is_directory()) {
    return -ENOTDIR;
  }
  const Reference<File> file(new File(*place.node, flags & kKept));
  return file ? give_descriptor(task, file, flags) : -ENOMEM;
}

std::int64_t open_unnamed(Task& task, const Place& place, std::uint32_t flags, std::uint64_t mode) {
  if (!place.node) {
    return -ENOENT;
  }
  if (!place.node->is_directory()) {
    return -ENOTDIR;
  }
  if (is_read_only(*place.node)) {
    return -EROFS;
  }
  if (!is_allowed(task, *place.node, kMayWrite | kMayExecute)) {
    return -EACCES;
  }
  const auto made =
      place.node->create_unnamed(new_node(*task.process, kRegularFile, mode, *place.node));
  return made ? open_node(task, **made, flags & ~std::uint32_t{O_DIRECTORY | O_TRUNC})
              : as_error(made);
}

std::int64_t create(Task& task, const Place& place, std::uint32_t flags, std::uint64_t mode) {
  Node& directory = *place.directory;
  if (place.ends_in_slash) {
    return -EISDIR;
  }
  if (is_read_only(directory)) {
    return -EROFS;
  }
  if (!is_allowed(task, directory, kMayWrite | kMayExecute)) {
    return -EACCES;
  }
  const auto made =
      directory.create(place.name(), new_node(*task.process, kRegularFile, mode, directory));
  if (!made) {
    return as_error(made);
  }
  notify_entry(directory, NodeEvent::kCreated, place.name());
  // A file that one makes may be opened whatever its mode.
  return open_node(task, **made, flags & ~std::uint32_t{O_TRUNC});
}

// How openat2(2) has a path followed.
struct Confinement {
  LookUp how;
  bool is_root = false;  // the directory is the root, too
};

std::int64_t open_path(Task& task, std::uint64_t directory, std::uint64_t address,
                       std::uint32_t flags, std::uint64_t mode, Confinement confinement) {
  const bool creates = (flags & O_CREAT) != 0;
  const bool exclusive = creates && (flags & O_EXCL) != 0;
  PathText path;
  if (const auto read = read_path(task, address, path); !read) {
    return as_error(read);
  }
  if (!task.process->descriptors().has_room()) {
    return -EMFILE;
  }
  Place place;
  confinement.how.follow_last = (flags & O_NOFOLLOW) == 0 && !exclusive;
  if (const auto found = find_confined_place(task, directory, path.text, confinement.how,
                                             confinement.is_root, place);
      !found) {
    return as_error(found);
  }
  if ((flags & O_PATH) != 0) {
    return open_place_only(task, place, flags);
  }
  if ((flags & kTemporary) != 0) {
    return open_unnamed(task, place, flags, mode);
  }
  if (creates && (place.ends_in_slash || place.last != LastComponent::kName) &&
      !(exclusive && place.node && !place.ends_in_slash)) {
    return -EISDIR;
  }
  if (!place.node) {
    return creates ? create(task, place, flags, mode) : -ENOENT;
  }
  if (exclusive) {
    return -EEXIST;
  }
  Node& node = *place.node;
  if (creates && node.is_directory()) {
    return -EISDIR;
  }
  const std::int64_t error = check_open(task, node, flags);
  // Only a regular file can be cut off.
  const std::uint32_t dropped = node.type() == kRegularFile ? 0 : std::uint32_t{O_TRUNC};
  return error != 0 ? error : open_node(task, node, flags & ~dropped);
}

std::int64_t open_at(Task& task, std::uint64_t directory, std::uint64_t address,
                     std::uint64_t open_flags, std::uint64_t mode,
                     const Confinement& confinement = {}) {
  auto flags = static_cast<std::uint32_t>(open_flags);
  if ((flags & O_PATH) != 0) {
    flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  }
  if ((flags & kTemporary) != 0 &&
      ((flags & O_DIRECTORY) == 0 || (flags & O_CREAT) != 0 || (flags & O_ACCMODE) == O_RDONLY)) {
    return -EINVAL;
  }
  if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY)) {
    return -EINVAL;
  }
  return open_path(task, directory, address, flags, mode, confinement);
}

std::int64_t call_open(Task& task) {
  return open_at(task, kCurrentDirectory, task.arguments[0], task.arguments[1], task.arguments[2]);
}
std::int64_t call_openat(Task& task) {
  return open_at(task, task.arguments[0], task.arguments[1], task.arguments[2], task.arguments[3]);
}
std::int64_t call_creat(Task& task) {
  return open_at(task, kCurrentDirectory, task.arguments[0], O_CREAT | O_WRONLY | O_TRUNC,
                 task.arguments[1]);
}

// What openat2(2) is given, of which a program may know more than is known here: the rest has to be
// zero.
Result<open_how> read_how(Task& task, std::uint64_t address, std::uint64_t size) {
  AddressSpace& space = task.process->space();
  if (size < sizeof(open_how)) {
    return fail(EINVAL);
  }
  if (size > abi::kPageSize) {
    return fail(E2BIG);
  }
  for (std::uint64_t offset = sizeof(open_how); offset < size; ++offset) {
    const auto byte = space.read_value<std::uint8_t>(address + offset);
    if (!byte) {
      return fail(EFAULT);
    }
    if (*byte != 0) {
      return fail(E2BIG);
    }
  }
  return space.read_value<open_how>(address);
}

bool is_sound(const open_how& how) {
  constexpr std::uint64_t kKnownFlags = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC |
                                        O_APPEND | O_NONBLOCK | O_SYNC | O_DIRECT | O_LARGEFILE |
                                        O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH |
                                        kTemporary | 020000;  // O_ASYNC
  constexpr std::uint64_t kWithPath = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  constexpr std::uint64_t kKnownResolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS |
                                          RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_IN_ROOT |
                                          RESOLVE_CACHED;
  constexpr std::uint64_t kOneOf = RESOLVE_BENEATH | RESOLVE_IN_ROOT;
  const bool creates = (how.flags & (O_CREAT | kTemporary)) != 0;
  return (how.flags & ~kKnownFlags) == 0 && (how.resolve & ~kKnownResolve) == 0 &&
         (how.resolve & kOneOf) != kOneOf && (how.mode & ~std::uint64_t{kPermissionMask}) == 0 &&
         (creates || how.mode == 0) && ((how.flags & O_PATH) == 0 || (how.flags & ~kWithPath) == 0);
}

std::int64_t call_openat2(Task& task) {
  const auto how = read_how(task, task.arguments[2], task.arguments[3]);
  if (!how) {
    return as_error(how);
  }
  if (!is_sound(*how)) {
    return -EINVAL;
  }
  if ((how->resolve & RESOLVE_CACHED) != 0) {
    return (how->flags & (O_TRUNC | O_CREAT | kTemporary)) != 0 ? -EINVAL : -EAGAIN;
  }
  Confinement confinement;
  confinement.is_root = (how->resolve & RESOLVE_IN_ROOT) != 0;
  confinement.how.stays_beneath = (how->resolve & RESOLVE_BENEATH) != 0;
  confinement.how.stays_on_device = (how->resolve & RESOLVE_NO_XDEV) != 0;
  confinement.how.refuses_links = (how->resolve & RESOLVE_NO_SYMLINKS) != 0;
  confinement.how.refuses_magic_links =
      (how->resolve & (RESOLVE_NO_MAGICLINKS | RESOLVE_IN_ROOT)) != 0;
  return open_at(task, task.arguments[0], task.arguments[1], how->flags, how->mode, confinement);
}

std::int64_t read_link_at(Task& task, std::uint64_t directory, std::uint64_t path,
                          std::uint64_t address, std::uint64_t size) {
  if (static_cast<std::int32_t>(size) <= 0) {
    return -EINVAL;
  }
  // An empty path means the descriptor itself, which O_PATH | O_NOFOLLOW can open of a link.
  const bool of_descriptor = static_cast<std::uint32_t>(directory) != kCurrentDirectory;
  const auto node = find_with_flags(task, directory, path,
                                    AT_SYMLINK_NOFOLLOW | (of_descriptor ? AT_EMPTY_PATH : 0));
  if (!node) {
    return as_error(node);
  }
  std::array<char, kMaximumPath> buffer;
  const auto target = (*node)->read_link(buffer, task.process);
  if (!target) {
    return as_error(target);
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
  const Node& directory = *task.process->working_directory;
  if (directory.is_removed()) {
    return -ENOENT;
  }
  const std::string_view path =
      directory.path(std::span(buffer).first(buffer.size() - 1), &root_of(*task.process));
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

// Makes a directory the process's own in some way.
std::int64_t enter(Task& task, const Result<Reference<Node>>& node, Reference<Node>& place) {
  if (!node) {
    return as_error(node);
  }
  if (!(*node)->is_directory()) {
    return -ENOTDIR;
  }
  if (!is_allowed(task, **node, kMayExecute)) {
    return -EACCES;
  }
  place = *node;
  return 0;
}
std::int64_t call_chdir(Task& task) {
  return enter(task, find_node(task, kCurrentDirectory, task.arguments[0], true),
               task.process->working_directory);
}
std::int64_t call_fchdir(Task& task) {
  const Reference<File> file = any_file_of(task, task.arguments[0]);
  return file ? enter(task, Reference<Node>(&file->node()), task.process->working_directory)
              : -EBADF;
}
std::int64_t call_chroot(Task& task) {
  const auto node = find_node(task, kCurrentDirectory, task.arguments[0], true);
  if (node && (*node)->is_directory() && !task.process->credentials.has(Capability::kChangeRoot)) {
    return is_allowed(task, **node, kMayExecute) ? -EPERM : -EACCES;
  }
  return enter(task, node, task.process->root_directory);
}

std::int64_t call_umask(Task& task) {
  const std::uint32_t old = task.process->file_mode_mask;
  task.process->file_mode_mask = static_cast<std::uint32_t>(task.arguments[0]) & 0777;
  return old;
}

// name_to_handle_at(2): no file system here gives out handles.
std::int64_t call_name_to_handle_at(Task& task) {
  const std::uint64_t flags = static_cast<std::uint32_t>(task.arguments[4]);
  if ((flags & ~std::uint64_t{AT_SYMLINK_FOLLOW | AT_EMPTY_PATH}) != 0) {
    return -EINVAL;
  }
  const std::uint64_t follow = (flags & AT_SYMLINK_FOLLOW) != 0 ? 0 : AT_SYMLINK_NOFOLLOW;
  const auto node =
      find_with_flags(task, task.arguments[0], task.arguments[1], (flags & AT_EMPTY_PATH) | follow);
  return node ? -EOPNOTSUPP : as_error(node);
}

std::int64_t call_open_by_handle_at(Task& task) {
  constexpr std::uint32_t kMostBytes = 128;
  if (!task.process->credentials.has(Capability::kReadAndSearch)) {
    return -EPERM;
  }
  const auto size = task.process->space().read_value<std::uint32_t>(task.arguments[1]);
  if (!size) {
    return -EFAULT;
  }
  if (*size == 0 || *size > kMostBytes) {
    return -EINVAL;
  }
  const auto start = start_of(task, task.arguments[0]);
  return start ? -ESTALE : as_error(start);
}

constexpr CallEntry kCalls[] = {
    {__NR_name_to_handle_at, call_name_to_handle_at},
    {__NR_open_by_handle_at, call_open_by_handle_at},
    {__NR_open, call_open},
    {__NR_openat, call_openat},
    {__NR_creat, call_creat},
    {__NR_readlink, call_readlink},
    {__NR_readlinkat, call_readlinkat},
    {__NR_getcwd, call_getcwd},
    {__NR_chdir, call_chdir},
    {__NR_fchdir, call_fchdir},
    {__NR_chroot, call_chroot},
    {__NR_umask, call_umask},
    {__NR_openat2, call_openat2},
};

}  // namespace

std::span<const CallEntry> path_calls() {
  return kCalls;
}

}  // namespace linux_server
