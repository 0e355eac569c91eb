#include "guest-kernel/linux/server/files/named_pipe.h"

namespace linux_server {

// Pipes are missing: there never is anybody at the other end.
Result<Reference<File>> open_named_pipe(Task& /*task*/, Node& /*node*/, std::uint32_t /*flags*/) {
  return fail(ENXIO);
}

}  // namespace linux_server
