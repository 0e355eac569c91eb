#include "guest-kernel/linux/server/ipc/socket_name.h"
#include "guest-kernel/linux/server/path.h"
#include "guest-kernel/linux/server/server.h"

// Sockets in the tree of names.
namespace linux_server {

Result<Node*> make_socket_node(Task& task, std::string_view path) {
  const auto place =
      resolve_place(server().root(), *task.process->working_directory, path, false, task.process);
  if (!place) {
    return std::unexpected(place.error());
  }
  return fail(place->node != nullptr ? EADDRINUSE : EROFS);
}

Result<Node*> find_socket_node(Task& task, std::string_view path) {
  return resolve(server().root(), *task.process->working_directory, path, true, task.process);
}

}  // namespace linux_server
