#include "guest-kernel/linux/server/calls/path_support.h"

#include "guest-kernel/linux/server/signals.h"

namespace linux_server {

Reference<File> any_file_of(Task& task, std::uint64_t descriptor) {
  return task.process->descriptors().find(static_cast<std::uint32_t>(descriptor));
}

Reference<File> file_of(Task& task, std::uint64_t descriptor) {
  Reference<File> file = any_file_of(task, descriptor);
  return file && file->is_path_only() ? Reference<File>() : file;
}

bool is_allowed(Task& task, const Node& node, std::uint32_t wanted) {
  return is_allowed(task.process->credentials, node.attributes(task.process), wanted);
}

bool is_owner(Task& task, const Node& node) {
  const Credentials& credentials = task.process->credentials;
  return credentials.has(Capability::kActAsOwner) ||
         credentials.user == node.attributes(task.process).user;
}

void drop_set_ids(Task& task, Node& node) {
  if (node.type() != kRegularFile || task.process->credentials.has(Capability::kKeepSetId)) {
    return;
  }
  const std::uint32_t mode = node.attributes(task.process).mode;
  const std::uint32_t group = (mode & 0010) != 0 ? std::uint32_t{kSetGroupId} : 0;
  if ((mode & (kSetUserId | group)) != 0) {
    AttributeChange change;
    change.permissions = mode & kPermissionMask & ~(kSetUserId | group);
    static_cast<void>(node.change(change));
  }
}

std::int64_t too_large(Task& task) {
  raise_signal(task, kSignalFileSize);
  return -EFBIG;
}

Result<Reference<Node>> start_of(Task& task, std::uint64_t directory) {
  if (static_cast<std::uint32_t>(directory) == kCurrentDirectory) {
    return task.process->working_directory;
  }
  const Reference<File> file = any_file_of(task, directory);
  return file ? Result<Reference<Node>>(Reference<Node>(&file->node())) : fail(EBADF);
}

Result<void> read_path(Task& task, std::uint64_t address, PathText& path) {
  const auto text = task.process->space().read_string(address, path.buffer);
  if (!text) {
    return std::unexpected(text.error());
  }
  path.text = *text;
  return {};
}

Result<void> find_place(Task& task, std::uint64_t directory, std::string_view path, bool follow,
                        Place& place) {
  LookUp how;
  how.follow_last = follow;
  return find_confined_place(task, directory, path, how, false, place);
}

Result<void> find_confined_place(Task& task, std::uint64_t directory, std::string_view path,
                                 const LookUp& how, bool confined, Place& place) {
  Node& root = root_of(*task.process);
  Reference<Node> start(&root);
  if (path.empty()) {
    return fail(ENOENT);
  }
  if (!path.starts_with('/') || confined) {
    const auto found = start_of(task, directory);
    if (!found) {
      return std::unexpected(found.error());
    }
    start = *found;
    if (!start->is_directory()) {
      return fail(ENOTDIR);
    }
  }
  return resolve_place(confined ? *start : root, *start, path, how, task.process, place);
}

Result<Reference<Node>> find_node(Task& task, std::uint64_t directory, std::uint64_t address,
                                  bool follow) {
  return find_with_flags(task, directory, address, follow ? 0 : AT_SYMLINK_NOFOLLOW);
}

Result<Reference<Node>> find_with_flags(Task& task, std::uint64_t directory, std::uint64_t address,
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
  Place place;
  const auto found =
      find_place(task, directory, path.text, (flags & AT_SYMLINK_NOFOLLOW) == 0, place);
  if (!found) {
    return std::unexpected(found.error());
  }
  return place.node ? Result<Reference<Node>>(place.node) : fail(ENOENT);
}

}  // namespace linux_server
