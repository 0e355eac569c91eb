#include "guest-kernel/linux/server/signals.h"

#include "guest-kernel/linux/server/server.h"

namespace linux_server {

void raise_signal(Task& task, Signal signal) {
  constexpr std::uint64_t kDefault = 0;
  if (task.process->actions[signal].handler == kDefault) {
    server().end_process(*task.process, 128 + static_cast<int>(signal));
  }
}

}  // namespace linux_server
