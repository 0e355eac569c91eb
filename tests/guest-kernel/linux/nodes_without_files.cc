// Opening is the server's; names are looked up without it.

#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/root_archive.h"

namespace linux_server {

Result<Reference<File>> Node::open(std::uint32_t /*flags*/, Process& /*opener*/) {
  return fail(ENXIO);
}
Result<Reference<File>> RootNode::open(std::uint32_t /*flags*/, Process& /*opener*/) {
  return fail(ENXIO);
}

}  // namespace linux_server
