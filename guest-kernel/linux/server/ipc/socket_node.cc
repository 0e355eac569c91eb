#include "guest-kernel/linux/server/calls/path_support.h"
#include "guest-kernel/linux/server/ipc/socket_name.h"
#include "guest-kernel/linux/server/notify.h"

// Sockets in the tree of names.
namespace linux_server {

Result<Reference<Node>> make_socket_node(Task& task, std::string_view path) {
  Place place;
  if (const auto found = find_place(task, kCurrentDirectory, path, false, place); !found) {
    return std::unexpected(found.error());
  }
  if (place.node) {
    return fail(EADDRINUSE);
  }
  if (place.ends_in_slash) {
    return fail(ENOENT);
  }
  if (!is_allowed(task, *place.directory, kMayWrite | kMayExecute)) {
    return fail(EACCES);
  }
  NewNode what;
  what.mode = kSocket | (0777 & ~task.process->file_mode_mask);
  what.user = task.process->credentials.user;
  what.group = task.process->credentials.group;
  auto made = place.directory->create(place.name(), what);
  if (made) {
    notify_entry(*place.directory, NodeEvent::kCreated, place.name());
  }
  return made;
}

Result<Reference<Node>> find_socket_node(Task& task, std::string_view path) {
  Place place;
  if (const auto found = find_place(task, kCurrentDirectory, path, true, place); !found) {
    return std::unexpected(found.error());
  }
  return place.node ? Result<Reference<Node>>(place.node) : fail(ENOENT);
}

}  // namespace linux_server
