#include "guest-kernel/linux/shim/shim.h"

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

constexpr std::uint64_t kNanosecondsPerSecond = 1'000'000'000;

struct TimeSpec {
  std::int64_t seconds;
  std::int64_t nanoseconds;
};

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
      return forward(frame);
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
      return forward(frame);
  }
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
  return forward(asking);
}

std::int64_t get_limit(const Frame& frame) {
  const auto process = static_cast<std::uint32_t>(frame.arguments[0]);
  if ((process != 0 && process != thread_page().process_id) || frame.arguments[2] != 0 ||
      frame.arguments[1] >= kLimitCount || process_page().has_own_limits != 0) {
    return forward(frame);
  }
  return frame.arguments[3] == 0 ? 0 : give(frame.arguments[3], default_limit(frame.arguments[1]));
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
    return forward(frame);
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
  constexpr std::uint64_t kContradiction = 6;  // GRND_RANDOM and GRND_INSECURE
  const std::uint64_t flags = frame.arguments[2];
  if (process_page().has_rdrand == 0 || size > kFew || (flags & ~kKnownFlags) != 0 ||
      (flags & kContradiction) == kContradiction) {
    return forward(frame);
  }
  std::uint64_t words[kFew / sizeof(std::uint64_t)];
  for (std::uint64_t& word : words) {
    bool valid = false;
    asm volatile("rdrand %0" : "=r"(word), "=@ccc"(valid));
    if (!valid) {
      return forward(frame);
    }
  }
  return shim_copy(reinterpret_cast<void*>(frame.arguments[0]), words, size)
             ? static_cast<std::int64_t>(size)
             : -EFAULT;
}

// The server makes the child from this thread's page: what a new thread starts with is all there.
std::int64_t make_child(const Frame& frame) {
  ThreadPage& thread = thread_page();
  asm volatile("fxsave64 %0" : "=m"(thread.vectors));
  return forward(frame);
}

std::uint8_t descriptor_kind(std::uint64_t descriptor) {
  const std::uint64_t kinds = thread_page().descriptor_kinds;
  return kinds == 0 || descriptor >= kKnownDescriptors
             ? std::uint8_t{0}
             : reinterpret_cast<const volatile std::uint8_t*>(kinds)[descriptor];
}

// Bytes that the server has put here before they were asked for. A short answer is its business.
std::int64_t read_ahead(const Frame& frame) {
  std::uint64_t& place = process_page().read_ahead;
  std::uint64_t word = __atomic_load_n(&place, __ATOMIC_ACQUIRE);
  const ReadAheadState state(word);
  const std::uint64_t size = frame.arguments[2];
  const bool has_all = state.descriptor == frame.arguments[0] && state.end <= kReadAheadSize &&
                       state.position < state.end && size <= state.end - state.position;
  const bool done =
      has_all && size != 0 &&
      shim_copy(reinterpret_cast<void*>(frame.arguments[1]),
                reinterpret_cast<const void*>(kReadAheadBuffer + state.position), size) &&
      __atomic_compare_exchange_n(&place, &word, word + size, false, __ATOMIC_ACQ_REL,
                                  __ATOMIC_RELAXED);
  return done ? static_cast<std::int64_t>(size) : forward(frame);
}

// Devices that hold nothing are read and written here: few bytes, and none.
std::int64_t read_here(const Frame& frame) {
  static constexpr std::uint8_t kZeroes[64] = {};
  const std::uint8_t kind = descriptor_kind(frame.arguments[0]);
  if ((kind & kIsReadAhead) != 0 && frame.arguments[1] < abi::kUserEnd - kReadAheadSize) {
    return read_ahead(frame);
  }
  const std::uint64_t size = frame.arguments[2];
  if (kind == 0 || size > sizeof(kZeroes) || frame.arguments[1] > abi::kUserEnd - size) {
    return forward(frame);
  }
  if ((kind & kReadsNothing) != 0) {
    return 0;
  }
  if ((kind & kReadsZeroes) == 0) {
    return forward(frame);
  }
  return shim_copy(reinterpret_cast<void*>(frame.arguments[1]), kZeroes, size)
             ? static_cast<std::int64_t>(size)
             : -EFAULT;
}

std::int64_t write_device(const Frame& frame) {
  constexpr std::uint64_t kMost = 0x7fff'f000;
  const std::uint64_t size = frame.arguments[2];
  if ((descriptor_kind(frame.arguments[0]) & kSwallows) == 0 || size > kMost ||
      frame.arguments[1] > abi::kUserEnd - size) {
    return forward(frame);
  }
  return static_cast<std::int64_t>(size);
}

std::int64_t answer(Frame& frame) {
  switch (frame.number) {
    case __NR_read:
      return read_here(frame);
    case __NR_write:
      return write_device(frame);
    case __NR_getpid:
      return thread_page().process_id;
    case __NR_getppid:
      return thread_page().parent_id;
    case __NR_gettid:
      return thread_page().thread_id;
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
    case __NR_sigaltstack:
      return set_alternate_stack(frame);
    case __NR_rt_sigreturn:
      return return_from_signal(frame);
    case __NR_rt_sigsuspend:
    case __NR_ppoll:
    case __NR_pselect6:
    case __NR_epoll_pwait:
    case __NR_epoll_pwait2:
      return wait_with_mask(frame);
    case __NR_clone:
    case __NR_clone3:
    case __NR_fork:
    case __NR_vfork:
      return make_child(frame);
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
      return forward(frame);
  }
}

// What a call returned that a signal interrupted: it is made again unless a handler is to run.
bool is_restart(std::int64_t result) {
  return result == kRestart || result == kRestartUnlessHandled;
}

// The application's call. Afterwards the frame is what it goes on with.
extern "C" void shim_dispatch(Frame* frame) {
  const std::uint64_t number = frame->number;
  ThreadPage& thread = thread_page();
  for (;;) {
    const std::int64_t result = answer(*frame);
    if (number == __NR_rt_sigreturn) {
      return;
    }
    frame->number = static_cast<std::uint64_t>(result);
    const bool has_signal = (thread.pending & ~thread.signal_mask) != 0;
    if (!has_signal && !is_restart(result) && thread.has_saved_mask == 0) {
      return;
    }
    const bool handled = deliver_signals(*frame, is_restart(result) ? number : kNoCall);
    if (thread.has_saved_mask != 0) {
      thread.has_saved_mask = 0;
      thread.signal_mask = thread.saved_mask;
    }
    if (handled || !is_restart(result)) {
      return;
    }
    frame->number = number;
  }
}

extern "C" void shim_set_up(ThreadPage* thread) {
  guest::set_thread_bases(guest::kNoSlot, thread->fs_base, reinterpret_cast<std::uint64_t>(thread));
  if (thread->has_vectors != 0) {
    thread->has_vectors = 0;
    asm volatile("fxrstor64 %0" : : "m"(thread->vectors));
  }
}

}  // namespace
}  // namespace shim
