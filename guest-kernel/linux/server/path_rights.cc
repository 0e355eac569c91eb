#include "guest-kernel/linux/server/path.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {

Node& root_of(const Process& process) {
  return process.root_directory ? *process.root_directory : server().root();
}

bool may_search(const Process& process, const Node& directory) {
  return process.credentials.has(Capability::kReadAndSearch) ||
         is_allowed(process.credentials, directory.attributes(&process), kMayExecute);
}

}  // namespace linux_server
