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

// The server keeps its tree of names for as long as it lives, and so do its tests: LeakSanitizer
// has nothing to say about it.
extern "C" int __lsan_is_turned_off() {  // NOLINT(bugprone-reserved-identifier): its name
  return 1;
}
