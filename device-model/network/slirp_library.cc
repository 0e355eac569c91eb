#include "device-model/network/slirp_library.h"

#include <dlfcn.h>

namespace ensemble::device {
namespace {

constexpr char kLibrary[] = "libslirp.so.0";

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

Result<SlirpLibrary> open_library() {
  void* const library = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  SlirpLibrary functions{};
  if (library == nullptr || !find(library, "slirp_new", functions.create) ||
      !find(library, "slirp_cleanup", functions.destroy) ||
      !find(library, "slirp_input", functions.input) ||
      !find(library, "slirp_pollfds_fill", functions.fill_polls) ||
      !find(library, "slirp_pollfds_poll", functions.handle_polls)) {
    const char* const reason = ::dlerror();
    return fail("a user-mode network needs Debian's package libslirp0: {}",
                reason == nullptr ? "it has no such function" : reason);
  }
  return functions;
}

}  // namespace

Result<const SlirpLibrary*> SlirpLibrary::load() {
  static const Result<SlirpLibrary> library = open_library();
  return library ? Result<const SlirpLibrary*>(&*library) : std::unexpected(library.error());
}

}  // namespace ensemble::device
