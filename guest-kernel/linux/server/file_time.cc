#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/node.h"

namespace linux_server {

std::int64_t file_time() {
  return static_cast<std::int64_t>(guest::realtime_ns());
}

}  // namespace linux_server
