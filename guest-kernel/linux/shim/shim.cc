#include <asm/errno.h>
#include <asm/prctl.h>
#include <asm/unistd.h>

#include <cstddef>
#include <cstdint>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/abi/system_call.h"
#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/system_call.h"
#include "guest-kernel/linux/shim/clocks.h"
#include "guest-kernel/linux/shim/layout.h"
#include "guest-kernel/linux/shim/limits.h"

// The shim: what a Linux process's `syscall` instructions run. It answers what concerns its process
// alone and calls the server for the rest. It holds no authority: whatever the application does to
// it, the server checks every word that arrives.
namespace shim {
namespace {

// The application's registers, as entry.S pushes them.
struct Frame {
  std::uint64_t number;
  std::uint64_t arguments[6];
  std::uint64_t rbx, rbp, r12, r13, r14, r15;
  std::uint64_t return_address;
  std::uint64_t flags;
  std::uint64_t stack;
};
static_assert(offsetof(Frame, return_address) == 0x68);

extern "C" bool shim_copy(void* to, const void* from, std::size_t size);
extern "C" std::int64_t shim_forward(const Frame* frame);

constexpr std::uint64_t kNanosecondsPerSecond = 1'000'000'000;

struct TimeSpec {
  std::int64_t seconds;
  std::int64_t nanoseconds;
};

ProcessPage& process_page() {
  return *reinterpret_cast<ProcessPage*>(kProcessPage);
}

ThreadPage& thread_page() {
  std::uint64_t top = 0;
  asm("movq %%gs:0, %0" : "=r"(top));
  return *reinterpret_cast<ThreadPage*>(top - abi::kPageSize);
}

template <typename T>
std::int64_t give(std::uint64_t address, const T& value) {
  return shim_copy(reinterpret_cast<void*>(address), &value, sizeof(value)) ? 0 : -EFAULT;
}

std::int64_t get_time(const Frame& frame) {
  std::uint64_t now = 0;
  switch (static_cast<int>(frame.arguments[0])) {
    case kClockRealtime:
    case kClockRealtimeCoarse:
    case kClockTai:
      now = guest::realtime_ns();
      break;
    case kClockMonotonic:
    case kClockMonotonicRaw:
    case kClockMonotonicCoarse:
    case kClockBootTime:
      now = guest::monotonic_ns();
      break;
    default:
      return shim_forward(&frame);
  }
  return give(frame.arguments[1], TimeSpec{static_cast<std::int64_t>(now / kNanosecondsPerSecond),
                                           static_cast<std::int64_t>(now % kNanosecondsPerSecond)});
}

std::int64_t get_time_of_day(const Frame& frame) {
  const std::uint64_t now = guest::realtime_ns();
  if (frame.arguments[0] != 0) {
    const std::uint64_t value[2] = {now / kNanosecondsPerSecond,
                                    now % kNanosecondsPerSecond / 1000};
    if (const std::int64_t error = give(frame.arguments[0], value); error != 0) {
      return error;
    }
  }
  const std::uint32_t zone[2] = {0, 0};
  return frame.arguments[1] != 0 ? give(frame.arguments[1], zone) : 0;
}

std::int64_t get_seconds(const Frame& frame) {
  const std::uint64_t seconds = guest::realtime_ns() / kNanosecondsPerSecond;
  if (frame.arguments[0] != 0 && give(frame.arguments[0], seconds) != 0) {
    return -EFAULT;
  }
  return static_cast<std::int64_t>(seconds);
}

std::int64_t set_bases(const Frame& frame) {
  ThreadPage& thread = thread_page();
  switch (static_cast<int>(frame.arguments[0])) {
    case ARCH_SET_FS:
      // GS is the shim's own. The nucleus refuses what no domain may map.
      if (guest::set_thread_bases(guest::kNoSlot, frame.arguments[1],
                                  reinterpret_cast<std::uint64_t>(&thread)) != guest::Status::kOk) {
        return -EPERM;
      }
      thread.fs_base = frame.arguments[1];
      return 0;
    case ARCH_GET_FS:
      return give(frame.arguments[1], thread.fs_base);
    default:
      return shim_forward(&frame);
  }
}

// Signals are recorded and never delivered by this server, so that a mask is the thread's own
// affair.
std::int64_t change_signal_mask(const Frame& frame) {
  constexpr std::uint64_t kUnmaskable = std::uint64_t{1} << (9 - 1) | std::uint64_t{1} << (19 - 1);
  ThreadPage& thread = thread_page();
  const std::uint64_t old_mask = thread.signal_mask;
  if (frame.arguments[3] != sizeof(old_mask)) {
    return -EINVAL;
  }
  if (frame.arguments[1] != 0) {
    std::uint64_t set = 0;
    if (!shim_copy(&set, reinterpret_cast<const void*>(frame.arguments[1]), sizeof(set))) {
      return -EFAULT;
    }
    switch (static_cast<int>(frame.arguments[0])) {
      case 0:  // SIG_BLOCK
        set |= old_mask;
        break;
      case 1:  // SIG_UNBLOCK
        set = old_mask & ~set;
        break;
      case 2:  // SIG_SETMASK
        break;
      default:
        return -EINVAL;
    }
    thread.signal_mask = set & ~kUnmaskable;
  }
  return frame.arguments[2] != 0 ? give(frame.arguments[2], old_mask) : 0;
}

// The break moves up within what the server has mapped; other moves are its business.
std::int64_t move_break(const Frame& frame) {
  ProcessPage& page = process_page();
  const std::uint64_t wanted = frame.arguments[0];
  if (wanted == 0) {
    return static_cast<std::int64_t>(page.heap_end);
  }
  if (wanted >= page.heap_end && wanted <= page.heap_limit) {
    page.heap_end = wanted;
    return static_cast<std::int64_t>(wanted);
  }
  Frame asking = frame;
  asking.arguments[1] = page.heap_end;
  return shim_forward(&asking);
}

std::int64_t get_limit(const Frame& frame) {
  const auto process = static_cast<std::uint32_t>(frame.arguments[0]);
  if ((process != 0 && process != process_page().process_id) || frame.arguments[2] != 0 ||
      frame.arguments[1] >= kLimitCount) {
    return shim_forward(&frame);
  }
  return frame.arguments[3] == 0 ? 0 : give(frame.arguments[3], limit_of(frame.arguments[1]));
}

// C programs' start-up asks for its own path; everything else is looked up by the server.
std::int64_t read_link(const Frame& frame) {
  static constexpr char kSelf[] = "/proc/self/exe";
  const ProcessPage& page = process_page();
  char path[sizeof(kSelf)];
  const auto size = static_cast<std::int32_t>(frame.arguments[2]);
  if (page.executable_size == 0 || page.executable_size > sizeof(page.executable) || size <= 0 ||
      !shim_copy(path, reinterpret_cast<const void*>(frame.arguments[0]), sizeof(path)) ||
      __builtin_memcmp(path, kSelf, sizeof(path)) != 0) {
    return shim_forward(&frame);
  }
  const std::uint32_t count = static_cast<std::uint32_t>(size) < page.executable_size
                                  ? static_cast<std::uint32_t>(size)
                                  : page.executable_size;
  return shim_copy(reinterpret_cast<void*>(frame.arguments[1]), page.executable, count)
             ? static_cast<std::int64_t>(count)
             : -EFAULT;
}

// A few bytes, as start-up code wants them, come from the processor.
std::int64_t get_random(const Frame& frame) {
  constexpr std::uint64_t kFew = 64;
  constexpr std::uint64_t kKnownFlags = 7;
  const std::uint64_t size = frame.arguments[1];
  if (process_page().has_rdrand == 0 || size > kFew || (frame.arguments[2] & ~kKnownFlags) != 0) {
    return shim_forward(&frame);
  }
  std::uint64_t words[kFew / sizeof(std::uint64_t)];
  for (std::uint64_t& word : words) {
    bool valid = false;
    asm volatile("rdrand %0" : "=r"(word), "=@ccc"(valid));
    if (!valid) {
      return shim_forward(&frame);
    }
  }
  return shim_copy(reinterpret_cast<void*>(frame.arguments[0]), words, size)
             ? static_cast<std::int64_t>(size)
             : -EFAULT;
}

std::int64_t answer(const Frame& frame) {
  switch (frame.number) {
    case __NR_getpid:
      return process_page().process_id;
    case __NR_getppid:
      return process_page().parent_id;
    case __NR_gettid:
      return thread_page().thread_id;
    case __NR_getuid:
    case __NR_geteuid:
    case __NR_getgid:
    case __NR_getegid:
      return 0;
    case __NR_uname:
      return give(frame.arguments[0], process_page().system_name);
    case __NR_clock_gettime:
      return get_time(frame);
    case __NR_gettimeofday:
      return get_time_of_day(frame);
    case __NR_time:
      return get_seconds(frame);
    case __NR_arch_prctl:
      return set_bases(frame);
    case __NR_set_tid_address:
      thread_page().clear_thread_id = frame.arguments[0];
      return thread_page().thread_id;
    case __NR_set_robust_list:
      if (frame.arguments[1] != 24) {
        return -EINVAL;
      }
      thread_page().robust_list = frame.arguments[0];
      return 0;
    case __NR_rt_sigprocmask:
      return change_signal_mask(frame);
    case __NR_brk:
      return move_break(frame);
    case __NR_prlimit64:
      return get_limit(frame);
    case __NR_readlink:
      return read_link(frame);
    case __NR_getrandom:
      return get_random(frame);
    case __NR_rseq:
      // A C library asks once and does without: threads do not move while they run.
      return -ENOSYS;
    case __NR_sched_yield:
      guest::yield();
      return 0;
    default:
      return shim_forward(&frame);
  }
}

extern "C" void shim_dispatch(Frame* frame);
extern "C" void shim_set_up(ThreadPage* thread);

void shim_dispatch(Frame* frame) {
  frame->number = static_cast<std::uint64_t>(answer(*frame));
}

void shim_set_up(ThreadPage* thread) {
  guest::set_thread_bases(guest::kNoSlot, 0, reinterpret_cast<std::uint64_t>(thread));
}

}  // namespace
}  // namespace shim
