#include "guest-kernel/linux/server/ipc/signal_mask_argument.h"

#include "guest-kernel/linux/server/process.h"

namespace linux_server {

Result<void> check_signal_mask(Task& task, std::uint64_t address, std::uint64_t size) {
  if (address == 0) {
    return {};
  }
  if (size != sizeof(std::uint64_t)) {
    return fail(EINVAL);
  }
  const auto mask = task.process->space().read_value<std::uint64_t>(address);
  return mask ? Result<void>() : fail(EFAULT);
}

}  // namespace linux_server
