#include <asm/unistd.h>
#include <linux/random.h>
#include <linux/sysinfo.h>

#include <algorithm>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/system_name.h"
#include "guest-kernel/linux/server/time_value.h"

// Calls about the whole system.
namespace linux_server {
namespace {

std::int64_t call_uname(Task& task) {
  return task.process->space().write_value(task.arguments[0], system_name()) ? 0 : -EFAULT;
}

std::int64_t call_sysinfo(Task& task) {
  struct sysinfo result = {};
  result.uptime = static_cast<std::int64_t>(guest::monotonic_ns() / kNanosecondsPerSecond);
  result.totalram = memory_pool().total();
  result.freeram = memory_pool().available();
  result.procs = static_cast<std::uint16_t>(server().process_count());
  result.mem_unit = 1;
  return task.process->space().write_value(task.arguments[0], result) ? 0 : -EFAULT;
}

std::int64_t call_getrandom(Task& task) {
  constexpr std::uint64_t kKnown = GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE;
  constexpr std::uint64_t kMaximum = 32 * 1024 * 1024 - 1;
  if ((task.arguments[2] & ~kKnown) != 0) {
    return -EINVAL;
  }
  const UserBuffer buffer(task.process->space(), task.arguments[0],
                          std::min(task.arguments[1], kMaximum));
  return server().random().fill_user(buffer);
}

std::int64_t call_reboot(Task& /*task*/) {
  return -EPERM;
}
std::int64_t call_sync(Task& /*task*/) {
  return 0;
}
std::int64_t call_sethostname(Task& /*task*/) {
  return -EPERM;
}
std::int64_t call_membarrier(Task& task) {
  return task.arguments[0] == 0 ? 0 : -EINVAL;
}

constexpr CallEntry kCalls[] = {
    {__NR_uname, call_uname},
    {__NR_sysinfo, call_sysinfo},
    {__NR_getrandom, call_getrandom},
    {__NR_reboot, call_reboot},
    {__NR_sync, call_sync},
    {__NR_sethostname, call_sethostname},
    {__NR_setdomainname, call_sethostname},
    {__NR_membarrier, call_membarrier},
};

}  // namespace

std::span<const CallEntry> system_calls() {
  return kCalls;
}

}  // namespace linux_server
