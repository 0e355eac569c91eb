#include <asm/fcntl.h>
#include <asm/unistd.h>
#include <linux/fs.h>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/calls/path_support.h"
#include "guest-kernel/linux/server/mounts.h"
#include "guest-kernel/linux/server/notify.h"

// Calls that change the tree of names: making, linking, moving and removing.
namespace linux_server {
namespace {

std::uint32_t of_type(const Node& node) {
  return node.is_directory() ? std::uint32_t{NodeEvent::kOfDirectory} : 0;
}

// Finds where a new entry goes. Returns a negative errno or 0.
std::int64_t find_new_place(Task& task, std::uint64_t directory, std::uint64_t address,
                            bool is_directory, Place& place) {
  PathText path;
  if (const auto read = read_path(task, address, path); !read) {
    return as_error(read);
  }
  const auto found = find_place(task, directory, path.text, false, place);
  if (!found) {
    return as_error(found);
  }
  if (place.node || place.last != LastComponent::kName) {
    return -EEXIST;
  }
  if (place.ends_in_slash && !is_directory) {
    return -ENOENT;
  }
  if (is_read_only(*place.directory)) {
    return -EROFS;
  }
  return is_allowed(task, *place.directory, kMayWrite | kMayExecute) ? 0 : -EACCES;
}

std::int64_t make(Task& task, const Place& place, NewNode& what) {
  Node& directory = *place.directory;
  const Credentials& credentials = task.process->credentials;
  const StoredAttributes above = directory.attributes(task.process);
  what.user = credentials.user;
  what.group = credentials.group;
  if ((above.mode & kSetGroupId) != 0) {
    what.group = above.group;
    what.mode |= (what.mode & kTypeMask) == kDirectory ? kSetGroupId : 0;
  }
  const auto made = directory.create(place.name(), what);
  if (!made) {
    return as_error(made);
  }
  notify_entry(directory, NodeEvent::kCreated | of_type(**made), place.name());
  return 0;
}

std::int64_t make_directory(Task& task, std::uint64_t directory, std::uint64_t path,
                            std::uint64_t mode) {
  Place place;
  if (const std::int64_t error = find_new_place(task, directory, path, true, place); error != 0) {
    return error;
  }
  NewNode what;
  what.mode = kDirectory |
              (static_cast<std::uint32_t>(mode) & (0777 | kSticky) & ~task.process->file_mode_mask);
  return make(task, place, what);
}
std::int64_t call_mkdir(Task& task) {
  return make_directory(task, kCurrentDirectory, task.arguments[0], task.arguments[1]);
}
std::int64_t call_mkdirat(Task& task) {
  return make_directory(task, task.arguments[0], task.arguments[1], task.arguments[2]);
}

std::int64_t make_special(Task& task, std::uint64_t directory, std::uint64_t path,
                          std::uint64_t mode_and_type, std::uint64_t device) {
  auto mode = static_cast<std::uint16_t>(mode_and_type);
  switch (mode & kTypeMask) {
    case 0:
      mode |= kRegularFile;
      break;
    case kRegularFile:
    case kCharacterDevice:
    case kBlockDevice:
    case kNamedPipe:
    case kSocket:
      break;
    case kDirectory:
      return -EPERM;
    default:
      return -EINVAL;
  }
  Place place;
  if (const std::int64_t error = find_new_place(task, directory, path, false, place); error != 0) {
    return error;
  }
  const std::uint32_t type = mode & kTypeMask;
  const bool is_device = type == kCharacterDevice || type == kBlockDevice;
  if (is_device && device != 0 && !task.process->credentials.has(Capability::kMakeNode)) {
    return -EPERM;
  }
  NewNode what;
  what.mode = type | (mode & kPermissionMask & ~task.process->file_mode_mask);
  what.device_number = is_device ? static_cast<std::uint32_t>(device) : 0;
  return make(task, place, what);
}
std::int64_t call_mknod(Task& task) {
  return make_special(task, kCurrentDirectory, task.arguments[0], task.arguments[1],
                      task.arguments[2]);
}
std::int64_t call_mknodat(Task& task) {
  return make_special(task, task.arguments[0], task.arguments[1], task.arguments[2],
                      task.arguments[3]);
}

std::int64_t make_link(Task& task, std::uint64_t target, std::uint64_t directory,
                       std::uint64_t path) {
  PathText text;
  if (const auto read = read_path(task, target, text); !read) {
    return as_error(read);
  }
  if (text.text.empty()) {
    return -ENOENT;
  }
  Place place;
  if (const std::int64_t error = find_new_place(task, directory, path, false, place); error != 0) {
    return error;
  }
  NewNode what;
  what.mode = kSymbolicLink | 0777;
  what.target = text.text;
  return make(task, place, what);
}
std::int64_t call_symlink(Task& task) {
  return make_link(task, task.arguments[0], kCurrentDirectory, task.arguments[1]);
}
std::int64_t call_symlinkat(Task& task) {
  return make_link(task, task.arguments[0], task.arguments[1], task.arguments[2]);
}

std::int64_t link(Task& task, std::uint64_t old_directory, std::uint64_t old_path,
                  std::uint64_t new_directory, std::uint64_t new_path, std::uint64_t flags) {
  flags = static_cast<std::uint32_t>(flags);
  if ((flags & ~std::uint64_t{AT_SYMLINK_FOLLOW | AT_EMPTY_PATH}) != 0) {
    return -EINVAL;
  }
  const std::uint64_t follow = (flags & AT_SYMLINK_FOLLOW) != 0 ? 0 : AT_SYMLINK_NOFOLLOW;
  const auto node =
      find_with_flags(task, old_directory, old_path, follow | (flags & AT_EMPTY_PATH));
  if (!node) {
    return as_error(node);
  }
  Place place;
  const std::int64_t error = find_new_place(task, new_directory, new_path, false, place);
  if (error != 0) {
    return error;
  }
  if ((*node)->device() != place.directory->device()) {
    return -EXDEV;
  }
  if ((*node)->is_directory()) {
    return -EPERM;
  }
  // A file without a name can get one only if it was opened to get one (O_TMPFILE).
  if ((*node)->is_removed() && (*node)->name().substr(0, 1) != "#") {
    return -ENOENT;
  }
  const auto linked = place.directory->link(place.name(), **node);
  if (linked) {
    notify_self(**node, NodeEvent::kAttributesChanged);
    notify_entry(*place.directory, NodeEvent::kCreated, place.name());
  }
  return as_error(linked);
}
std::int64_t call_link(Task& task) {
  return link(task, kCurrentDirectory, task.arguments[0], kCurrentDirectory, task.arguments[1], 0);
}
std::int64_t call_linkat(Task& task) {
  return link(task, task.arguments[0], task.arguments[1], task.arguments[2], task.arguments[3],
              task.arguments[4]);
}

// Finds an entry that is to be removed or renamed, whose directory allows that. Returns a negative
// errno or 0; `place.node` may be null.
std::int64_t find_old_place(Task& task, std::uint64_t directory, std::uint64_t address,
                            Place& place) {
  PathText path;
  if (const auto read = read_path(task, address, path); !read) {
    return as_error(read);
  }
  // A link at the end is meant itself even where a slash follows it.
  std::string_view text = path.text;
  while (text.size() > 1 && text.ends_with('/')) {
    text.remove_suffix(1);
  }
  const bool slash = text.size() != path.text.size();
  const auto found = find_place(task, directory, text, false, place);
  place.ends_in_slash = slash;
  return as_error(found);
}

std::int64_t check_removal(Task& task, const Place& place) {
  if (!is_allowed(task, *place.directory, kMayWrite | kMayExecute)) {
    return -EACCES;
  }
  const bool allowed =
      is_removal_allowed(task.process->credentials, place.directory->attributes(task.process),
                         place.node->attributes(task.process));
  return allowed ? 0 : -EPERM;
}

std::int64_t remove(Place& place) {
  Node& directory = *place.directory;
  const std::uint32_t type = of_type(*place.node);
  const auto removed = directory.remove(place.name(), *place.node);
  if (!removed) {
    return as_error(removed);
  }
  notify_self(*place.node, type == 0 ? std::uint32_t{NodeEvent::kAttributesChanged} : 0);
  // Those who watch it hear of its end first, if this was the last that held it.
  place.node.reset();
  notify_entry(directory, NodeEvent::kDeleted | type, place.name());
  return 0;
}

std::int64_t remove_directory(Task& task, std::uint64_t directory, std::uint64_t path) {
  Place place;
  if (const std::int64_t error = find_old_place(task, directory, path, place); error != 0) {
    return error;
  }
  switch (place.last) {
    case LastComponent::kDot:
      return -EINVAL;
    case LastComponent::kDotDot:
      return -ENOTEMPTY;
    case LastComponent::kRoot:
      return -EBUSY;
    case LastComponent::kName:
      break;
  }
  if (is_read_only(*place.directory)) {
    return -EROFS;
  }
  if (!place.node) {
    return -ENOENT;
  }
  if (const std::int64_t error = check_removal(task, place); error != 0) {
    return error;
  }
  if (!place.node->is_directory()) {
    return -ENOTDIR;
  }
  if (is_mount_root(*place.node)) {
    return -EBUSY;
  }
  return remove(place);
}

std::int64_t unlink(Task& task, std::uint64_t directory, std::uint64_t path) {
  Place place;
  if (const std::int64_t error = find_old_place(task, directory, path, place); error != 0) {
    return error;
  }
  if (place.last != LastComponent::kName) {
    return -EISDIR;
  }
  if (is_read_only(*place.directory)) {
    return -EROFS;
  }
  if (!place.node) {
    return -ENOENT;
  }
  if (place.ends_in_slash) {
    return place.node->is_directory() ? -EISDIR : -ENOTDIR;
  }
  if (const std::int64_t error = check_removal(task, place); error != 0) {
    return error;
  }
  return place.node->is_directory() ? -EISDIR : remove(place);
}
std::int64_t call_rmdir(Task& task) {
  return remove_directory(task, kCurrentDirectory, task.arguments[0]);
}
std::int64_t call_unlink(Task& task) {
  return unlink(task, kCurrentDirectory, task.arguments[0]);
}
std::int64_t call_unlinkat(Task& task) {
  const auto flags = static_cast<std::uint32_t>(task.arguments[2]);
  if ((flags & ~std::uint32_t{AT_REMOVEDIR}) != 0) {
    return -EINVAL;
  }
  return flags != 0 ? remove_directory(task, task.arguments[0], task.arguments[1])
                    : unlink(task, task.arguments[0], task.arguments[1]);
}

bool is_within(const Node& node, const Node& ancestor) {
  for (const Node* each = &node; each != nullptr; each = each->parent()) {
    if (each == &ancestor) {
      return true;
    }
  }
  return false;
}

// Whether `from` may become `to`. Returns a negative errno or 0.
std::int64_t check_rename(Task& task, const Place& from, const Place& to, std::uint32_t flags) {
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  if (!from.node) {
    return -ENOENT;
  }
  if (to.node && (flags & RENAME_NOREPLACE) != 0) {
    return -EEXIST;
  }
  if (exchange && !to.node) {
    return -ENOENT;
  }
  // A slash means that a directory is wanted.
  if (!from.node->is_directory() && (from.ends_in_slash || (to.ends_in_slash && !exchange))) {
    return -ENOTDIR;
  }
  if (exchange && to.ends_in_slash && !to.node->is_directory()) {
    return -ENOTDIR;
  }
  if (is_within(*to.directory, *from.node)) {
    return -EINVAL;
  }
  if (to.node && is_within(*from.directory, *to.node)) {
    return exchange ? -EINVAL : -ENOTEMPTY;
  }
  if (from.node.get() == to.node.get()) {
    return 0;
  }
  if (is_mount_root(*from.node) || (to.node && is_mount_root(*to.node))) {
    return -EBUSY;
  }
  if (const std::int64_t error = check_removal(task, from); error != 0) {
    return error;
  }
  if (!to.node) {
    return is_allowed(task, *to.directory, kMayWrite | kMayExecute) ? 0 : -EACCES;
  }
  if (const std::int64_t error = check_removal(task, to); error != 0) {
    return error;
  }
  if (!exchange && from.node->is_directory() != to.node->is_directory()) {
    return from.node->is_directory() ? -ENOTDIR : -EISDIR;
  }
  return 0;
}

void tell_of_move(Node& from, std::string_view old_name, Node& to, std::string_view new_name,
                  Node& node) {
  static constinit std::uint32_t last_cookie = 0;
  const std::uint32_t cookie = ++last_cookie;
  const std::uint32_t type = of_type(node);
  notify_entry(from, NodeEvent::kMovedFrom | type, old_name, cookie);
  notify_entry(to, NodeEvent::kMovedTo | type, new_name, cookie);
  notify_self(node, NodeEvent::kSelfMoved);
}

std::int64_t rename(Task& task, std::uint64_t old_directory, std::uint64_t old_path,
                    std::uint64_t new_directory, std::uint64_t new_path,
                    std::uint64_t rename_flags) {
  const auto flags = static_cast<std::uint32_t>(rename_flags);
  if ((flags & ~std::uint32_t{RENAME_NOREPLACE | RENAME_EXCHANGE}) != 0 ||
      flags == (RENAME_NOREPLACE | RENAME_EXCHANGE)) {
    return -EINVAL;
  }
  Place from;
  if (const std::int64_t error = find_old_place(task, old_directory, old_path, from); error != 0) {
    return error;
  }
  Place to;
  if (const std::int64_t error = find_old_place(task, new_directory, new_path, to); error != 0) {
    return error;
  }
  if (from.directory->device() != to.directory->device()) {
    return -EXDEV;
  }
  if (from.last != LastComponent::kName) {
    return -EBUSY;
  }
  if (to.last != LastComponent::kName) {
    return (flags & RENAME_NOREPLACE) != 0 ? -EEXIST : -EBUSY;
  }
  if (is_read_only(*from.directory)) {
    return -EROFS;
  }
  if (const std::int64_t error = check_rename(task, from, to, flags); error != 0) {
    return error;
  }
  // Two names of one file: nothing is to be done.
  if (from.node.get() == to.node.get()) {
    return 0;
  }
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  const auto renamed = from.directory->rename(from.name(), *from.node, *to.directory, to.name(),
                                              to.node.get(), exchange);
  if (!renamed) {
    return as_error(renamed);
  }
  tell_of_move(*from.directory, from.name(), *to.directory, to.name(), *from.node);
  if (exchange) {
    tell_of_move(*to.directory, to.name(), *from.directory, from.name(), *to.node);
  } else if (to.node) {
    notify_self(*to.node, NodeEvent::kAttributesChanged);
  }
  return 0;
}
std::int64_t call_rename(Task& task) {
  return rename(task, kCurrentDirectory, task.arguments[0], kCurrentDirectory, task.arguments[1],
                0);
}
std::int64_t call_renameat(Task& task) {
  return rename(task, task.arguments[0], task.arguments[1], task.arguments[2], task.arguments[3],
                0);
}
std::int64_t call_renameat2(Task& task) {
  return rename(task, task.arguments[0], task.arguments[1], task.arguments[2], task.arguments[3],
                task.arguments[4]);
}

constexpr CallEntry kCalls[] = {
    {__NR_mkdir, call_mkdir},       {__NR_mkdirat, call_mkdirat},
    {__NR_mknod, call_mknod},       {__NR_mknodat, call_mknodat},
    {__NR_symlink, call_symlink},   {__NR_symlinkat, call_symlinkat},
    {__NR_link, call_link},         {__NR_linkat, call_linkat},
    {__NR_rmdir, call_rmdir},       {__NR_unlink, call_unlink},
    {__NR_unlinkat, call_unlinkat}, {__NR_rename, call_rename},
    {__NR_renameat, call_renameat}, {__NR_renameat2, call_renameat2},
};

}  // namespace

std::span<const CallEntry> tree_calls() {
  return kCalls;
}

}  // namespace linux_server
