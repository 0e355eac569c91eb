#include "guest-kernel/linux/server/files/named_pipe.h"

#include "guest-kernel/linux/server/ipc/pipe.h"

namespace linux_server {

Result<Reference<File>> open_named_pipe(Task& task, Node& node, std::uint32_t flags) {
  const std::int64_t result = wait_for_named_pipe(task, node, flags);
  if (result == kBlocked) {
    return fail(kOpenBlocked);
  }
  return result < 0 ? fail(static_cast<int>(-result)) : open_named_pipe(node, flags);
}

}  // namespace linux_server
