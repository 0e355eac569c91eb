#include "control/cli/signals.h"

#include <unistd.h>

#include <cerrno>

namespace ensemble::control {

vmm::FileDescriptor take_signals(std::initializer_list<int> numbers) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int each : numbers) {
    sigaddset(&signals, each);
  }
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return vmm::FileDescriptor(::signalfd(-1, &signals, SFD_CLOEXEC));
}

bool write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(descriptor, text.data(), text.size());
    if (count > 0) {
      text.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace ensemble::control
