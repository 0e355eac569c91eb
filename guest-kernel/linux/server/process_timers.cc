#include "guest-kernel/linux/server/process_timers.h"

#include <algorithm>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/signals.h"
#include "guest-kernel/linux/server/time_value.h"

namespace linux_server {
namespace {

// How often the time that a process uses is looked at, at most: Linux's tick.
constexpr std::uint64_t kTick = 4'000'000;
constexpr std::uint32_t kMostOverruns = 0x7fff'ffff;

class IntervalTimer : public ProcessTimer {
 public:
  IntervalTimer(Process& process, const TimerClock& clock, Signal signal)
      : ProcessTimer(process, clock), signal_(signal) {}

 private:
  void ring() override {
    const bool is_pending = (process().pending.set() & signal_bit(signal_)) != 0;
    go_on(is_pending ? kLongWait : kLeastWait);
    send_signal(process(), SignalInfo::of(signal_, SignalInfo::kKernel));
  }
  Signal signal_;
};

// RLIMIT_CPU: a signal each second from the soft limit on, and the end at the hard one.
class LimitTimer : public ProcessTimer {
 public:
  explicit LimitTimer(Process& process) : ProcessTimer(process, {TimerClock::Kind::kUsed}) {}

 private:
  void ring() override {
    go_on(kLeastWait);
    const std::uint64_t used = time_of(process()).total() / kNanosecondsPerSecond;
    const bool over = used >= process().limits[shim::kProcessorTimeLimit].maximum;
    send_signal(process(),
                SignalInfo::of(over ? kSignalKill : kSignalProcessorLimit, SignalInfo::kKernel));
  }
};

}  // namespace

std::uint64_t read_timer_clock(const Process& process, const TimerClock& clock) {
  if (!clock.is_of_processor()) {
    return clock.kind == TimerClock::Kind::kWall ? guest::realtime_ns() : guest::monotonic_ns();
  }
  ProcessorTime time;
  if (clock.process != 0) {
    const Process* other = find_process(clock.process);
    time = other != nullptr ? time_of(*other) : time;
  } else if (clock.task == 0) {
    time = time_of(process);
  } else if (const Task* task = find_task(clock.task); task != nullptr) {
    time = time_of(*task);
  }
  return clock.kind == TimerClock::Kind::kUsed ? time.total() : time.user;
}

ProcessTimer::Setting ProcessTimer::setting() const {
  if (next_ == 0) {
    return {interval_, 0};
  }
  const std::uint64_t now = read_timer_clock(process_, clock_);
  if (next_ > now || is_set()) {
    return {interval_, next_ > now ? next_ - now : 1};
  }
  // It stands still.
  return {interval_, interval_ != 0 ? interval_ - (now - next_) % interval_ : 0};
}

void ProcessTimer::start(const std::uint64_t* next, std::uint64_t interval) {
  cancel();
  next_ = next != nullptr ? std::max<std::uint64_t>(*next, 1) : 0;
  interval_ = interval;
  if (next_ != 0 && is_audible()) {
    arm();
  }
}

void ProcessTimer::arm(std::uint64_t least_wait) {
  const std::uint64_t now = read_timer_clock(process_, clock_);
  std::uint64_t wait = std::max(next_ > now ? next_ - now : 0, least_wait);
  if (clock_.is_of_processor()) {
    // No sooner than if all its threads that run now went on running.
    const std::uint32_t running = clock_.task != 0 ? 1 : running_tasks(process_);
    wait = std::max(wait / std::max<std::uint32_t>(running, 1), kTick);
  }
  set(add_time(guest::monotonic_ns(), wait));
}

void ProcessTimer::expire() {
  const std::uint64_t now = read_timer_clock(process_, clock_);
  if (now < next_) {
    arm();
    return;
  }
  ring();
}

std::uint64_t ProcessTimer::go_on(std::uint64_t least_wait) {
  if (interval_ == 0) {
    next_ = 0;
    return 1;
  }
  const std::uint64_t now = read_timer_clock(process_, clock_);
  const std::uint64_t periods = now >= next_ ? (now - next_) / interval_ + 1 : 0;
  next_ += periods * interval_;
  arm(least_wait);
  return periods;
}

void PosixTimer::ring() {
  Task* receiver = nullptr;
  if (event_.task != 0) {
    receiver = find_task(event_.task);
    if (receiver == nullptr || receiver->process != &process()) {
      return;
    }
  }
  PendingSignals& pending = receiver != nullptr ? receiver->pending : process().pending;
  is_pending_ = true;
  if (pending.has_timer(event_.signal, id_)) {
    return;  // from before it was set anew
  }
  SignalInfo info = SignalInfo::of(event_.signal, SignalInfo::kTimer);
  info.words[2] = id_;
  info.words[3] = event_.has_value ? event_.value : id_;
  const Sent sent =
      receiver != nullptr ? send_signal_to_task(*receiver, info) : send_signal(process(), info);
  if (sent != Sent::kPending && is_pending_) {
    is_pending_ = false;
    go_on(kLongWait);
  }
}

void PosixTimer::taken(SignalInfo& info) {
  if (!is_pending_) {
    return;
  }
  is_pending_ = false;
  const std::uint64_t missed = std::max<std::uint64_t>(go_on(kLeastWait), 1) - 1;
  overruns_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(missed, kMostOverruns));
  info.words[2] = id_ | std::uint64_t{overruns_} << 32;
}

ProcessTimers::ProcessTimers(Process& process) : process_(process) {
  using Kind = TimerClock::Kind;
  intervals_ = {new IntervalTimer(process, {Kind::kMonotonic}, kSignalAlarm),
                new IntervalTimer(process, {Kind::kUsedByProgram}, kSignalVirtualAlarm),
                new IntervalTimer(process, {Kind::kUsed}, kSignalProfile)};
  limit_ = new LimitTimer(process);
  is_complete_ = limit_ != nullptr &&
                 std::find(intervals_.begin(), intervals_.end(), nullptr) == intervals_.end();
}

ProcessTimers::~ProcessTimers() {
  remove_all();
  for (ProcessTimer* timer : intervals_) {
    delete timer;
  }
  delete limit_;
}

void ProcessTimers::watch_processor_limit() {
  const shim::Limit& limit = process_.limits[shim::kProcessorTimeLimit];
  if (limit.current == shim::kUnlimited) {
    limit_->start(nullptr, 0);
    return;
  }
  const std::uint64_t next =
      std::min(limit.current, ~std::uint64_t{0} / kNanosecondsPerSecond) * kNanosecondsPerSecond;
  limit_->start(&next, kNanosecondsPerSecond);
}

std::int64_t ProcessTimers::create(const TimerClock& clock, const TimerEvent& event) {
  if (count_ >= kMaximum || !has_signal_room(process_)) {
    return -EAGAIN;
  }
  while (find(next_id_) != nullptr) {
    next_id_ = (next_id_ + 1) & 0x7fff'ffff;
  }
  auto* timer = new PosixTimer(process_, clock, event, next_id_);
  if (timer == nullptr) {
    return -EAGAIN;
  }
  timer->next_ = first_;
  first_ = timer;
  ++count_;
  next_id_ = (next_id_ + 1) & 0x7fff'ffff;
  return timer->id();
}

PosixTimer* ProcessTimers::find(std::uint64_t id) {
  PosixTimer* timer = first_;
  while (timer != nullptr && timer->id() != id) {
    timer = timer->next_;
  }
  return timer;
}

void ProcessTimers::remove(PosixTimer& timer) {
  for (PosixTimer** link = &first_; *link != nullptr; link = &(*link)->next_) {
    if (*link == &timer) {
      *link = timer.next_;
      --count_;
      delete &timer;
      return;
    }
  }
}

void ProcessTimers::signals_dropped(std::uint64_t set) {
  for (PosixTimer* timer = first_; timer != nullptr; timer = timer->next_) {
    if (timer->is_pending_ && (set & signal_bit(timer->event_.signal)) != 0) {
      timer->is_pending_ = false;
      timer->go_on(ProcessTimer::kLongWait);
    }
  }
}

void ProcessTimers::remove_all() {
  while (first_ != nullptr) {
    remove(*first_);
  }
}

ProcessTimers* timers_of(Process& process) {
  if (!process.timers) {
    auto* timers = new ProcessTimers(process);
    if (timers == nullptr) {
      return nullptr;
    }
    const Reference<ProcessTimers> share(timers);
    if (!timers->is_complete()) {
      return nullptr;
    }
    process.timers = share;
  }
  return process.timers.get();
}

}  // namespace linux_server
