#include <asm/unistd.h>
#include <linux/random.h>
#include <linux/sysinfo.h>

#include <algorithm>
#include <array>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/page_tree.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/system_name.h"
#include "guest-kernel/linux/server/time_value.h"
#include "guest-kernel/linux/shim/clocks.h"

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
  result.sharedram = file_memory_used() * PageTree::kPage;
  result.procs = static_cast<std::uint16_t>(count_tasks());
  result.mem_unit = 1;
  return task.process->space().write_value(task.arguments[0], result) ? 0 : -EFAULT;
}

std::int64_t call_getrandom(Task& task) {
  constexpr std::uint64_t kKnown = GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE;
  constexpr std::uint64_t kMaximum = 32 * 1024 * 1024 - 1;
  const std::uint64_t flags = static_cast<std::uint32_t>(task.arguments[2]);
  if ((flags & ~kKnown) != 0 ||
      (flags & (GRND_INSECURE | GRND_RANDOM)) == (GRND_INSECURE | GRND_RANDOM)) {
    return -EINVAL;
  }
  const UserBuffer buffer(task.process->space(), task.arguments[0],
                          std::min(task.arguments[1], kMaximum));
  return server().random().fill_user(buffer);
}

// The machine goes off with its first process, not before.
std::int64_t call_reboot(Task& task) {
  constexpr std::uint32_t kFirstMagic = 0xfee1'dead;
  constexpr std::array<std::uint32_t, 4> kSecondMagics = {672274793, 85072278, 369367448,
                                                          537993216};
  if (!task.process->credentials.has(Capability::kBoot)) {
    return -EPERM;
  }
  const auto magic = static_cast<std::uint32_t>(task.arguments[1]);
  if (static_cast<std::uint32_t>(task.arguments[0]) != kFirstMagic ||
      std::find(kSecondMagics.begin(), kSecondMagics.end(), magic) == kSecondMagics.end()) {
    return -EINVAL;
  }
  constexpr std::uint32_t kKeysOn = 0x89ab'cdef;
  const auto command = static_cast<std::uint32_t>(task.arguments[2]);
  return command == 0 || command == kKeysOn ? 0 : -EPERM;
}

// sethostname, setdomainname.
std::int64_t set_name(Task& task, SystemNameField field) {
  constexpr std::int32_t kLongest = 64;
  if (!task.process->credentials.has(Capability::kAdministrate)) {
    return -EPERM;
  }
  const auto size = static_cast<std::int32_t>(task.arguments[1]);
  if (size < 0 || size > kLongest) {
    return -EINVAL;
  }
  std::array<char, kLongest> name;
  const auto text = std::span(name).first(static_cast<std::size_t>(size));
  if (!task.process->space().read(task.arguments[0], std::as_writable_bytes(text))) {
    return -EFAULT;
  }
  set_system_name_field(field, {text.data(), text.size()});
  for (Process* process : all_processes()) {
    if (process != nullptr && process->has_memory()) {
      process->memory().publish_system_name();
    }
  }
  return 0;
}
std::int64_t call_sethostname(Task& task) {
  return set_name(task, SystemNameField::kNode);
}
std::int64_t call_setdomainname(Task& task) {
  return set_name(task, SystemNameField::kDomain);
}

// struct timex. The headers for it do not go together with the C++ library's.
struct ClockAdjustment {
  std::uint32_t modes;
  std::int64_t offset;
  std::int64_t frequency;
  std::int64_t largest_error;
  std::int64_t estimated_error;
  std::int32_t status;
  std::int64_t constant;
  std::int64_t precision;
  std::int64_t tolerance;
  TimeValue time;
  std::int64_t tick;  // µs
  std::int64_t others[14];
};
static_assert(sizeof(ClockAdjustment) == 208);

// The clock runs on its own: it can be asked, not adjusted.
std::int64_t adjust_clock(Task& task, std::uint64_t address) {
  constexpr std::uint32_t kSingleShot = 0x8000;
  constexpr std::uint32_t kReadOnlySingleShot = 0x2000;
  constexpr std::uint32_t kSetTick = 0x4000;
  constexpr std::int32_t kUnsynchronized = 0x40;
  constexpr std::int64_t kTimeError = 5;
  constexpr std::int64_t kTickMicroseconds = 10'000;
  AddressSpace& space = task.process->space();
  auto time = space.read_value<ClockAdjustment>(address);
  if (!time) {
    return -EFAULT;
  }
  const bool only_asks = time->modes == 0 || time->modes == (kSingleShot | kReadOnlySingleShot);
  if ((time->modes & kSingleShot) != 0 && (time->modes & 1) == 0) {
    return -EINVAL;
  }
  if (!only_asks && !task.process->credentials.has(Capability::kSetTime)) {
    return -EPERM;
  }
  if ((time->modes & kSetTick) != 0 &&
      (time->tick < kTickMicroseconds * 9 / 10 || time->tick > kTickMicroseconds * 11 / 10)) {
    return -EINVAL;
  }
  if (!only_asks) {
    return -EPERM;
  }
  const std::uint64_t now = guest::realtime_ns();
  *time = {};
  time->tick = kTickMicroseconds;
  time->status = kUnsynchronized;
  time->largest_error = time->estimated_error = 16'000'000;
  time->constant = 2;
  time->precision = 1;
  time->tolerance = 32'768'000;
  time->time = {static_cast<std::int64_t>(now / kNanosecondsPerSecond),
                static_cast<std::int64_t>(now % kNanosecondsPerSecond / 1000)};
  return space.write_value(address, *time) ? kTimeError : -EFAULT;
}
std::int64_t call_adjtimex(Task& task) {
  return adjust_clock(task, task.arguments[0]);
}
std::int64_t call_clock_adjtime(Task& task) {
  const auto clock = static_cast<std::uint32_t>(task.arguments[0]);
  if (clock == shim::kClockRealtime) {
    return adjust_clock(task, task.arguments[1]);
  }
  return clock <= 11 ? -EOPNOTSUPP : -EINVAL;
}

// syslog(2): there is no log of the kernel's.
std::int64_t call_syslog(Task& task) {
  const auto action = static_cast<std::int32_t>(task.arguments[0]);
  constexpr std::int32_t kReadAll = 3;
  constexpr std::int32_t kSizeUnread = 9;
  constexpr std::int32_t kSizeBuffer = 10;
  if (!task.process->credentials.has(Capability::kAdministrate) && action != kReadAll &&
      action != kSizeBuffer) {
    return -EPERM;
  }
  if (action < 0 || action > kSizeBuffer) {
    return -EINVAL;
  }
  if ((action >= 2 && action <= 4) &&
      (task.arguments[1] == 0 || static_cast<std::int32_t>(task.arguments[2]) < 0)) {
    return -EINVAL;
  }
  if (action == 8 && (static_cast<std::int32_t>(task.arguments[2]) < 1 ||
                      static_cast<std::int32_t>(task.arguments[2]) > 8)) {
    return -EINVAL;
  }
  return action == kSizeBuffer ? 4096 : action == kSizeUnread ? 0 : 0;
}

std::int64_t call_vhangup(Task& task) {
  return task.process->credentials.has(Capability::kTerminal) ? 0 : -EPERM;
}

// Calls that only who runs the machine may make, and that there is nothing behind here.
std::int64_t call_of_administrator(Task& task) {
  return task.process->credentials.has(Capability::kAdministrate) ? -ENOSYS : -EPERM;
}

constexpr CallEntry kCalls[] = {
    {__NR_uname, call_uname},
    {__NR_sysinfo, call_sysinfo},
    {__NR_getrandom, call_getrandom},
    {__NR_reboot, call_reboot},
    {__NR_sethostname, call_sethostname},
    {__NR_setdomainname, call_setdomainname},
    {__NR_adjtimex, call_adjtimex},
    {__NR_clock_adjtime, call_clock_adjtime},
    {__NR_syslog, call_syslog},
    {__NR_vhangup, call_vhangup},
    {__NR_acct, call_of_administrator},
    {__NR_swapon, call_of_administrator},
    {__NR_swapoff, call_of_administrator},
    {__NR_init_module, call_of_administrator},
    {__NR_finit_module, call_of_administrator},
    {__NR_delete_module, call_of_administrator},
    {__NR_quotactl, call_of_administrator},
};

}  // namespace

std::span<const CallEntry> system_calls() {
  return kCalls;
}

}  // namespace linux_server
