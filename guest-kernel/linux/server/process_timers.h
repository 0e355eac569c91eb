#pragma once

#include <array>
#include <cstdint>

#include "guest-kernel/linux/server/ipc/event_timer.h"
#include "guest-kernel/linux/server/memory_share.h"
#include "guest-kernel/linux/server/pending_signals.h"
#include "guest-kernel/linux/server/reference.h"
#include "guest-kernel/linux/server/result.h"

namespace linux_server {

class Process;
struct Task;

// What a timer goes by: time that passes, or time that a thread or a process has used.
struct TimerClock {
  enum class Kind : std::uint8_t { kMonotonic, kWall, kUsed, kUsedByProgram };
  Kind kind = Kind::kMonotonic;
  // Of the last two: a thread, or another process than the timer's own; both 0: all of that.
  std::uint32_t task = 0;
  std::uint32_t process = 0;

  bool is_of_processor() const { return kind == Kind::kUsed || kind == Kind::kUsedByProgram; }
};

// What the clock shows, in ns. 0: the thread has ended.
std::uint64_t read_timer_clock(const Process& process, const TimerClock& clock);

// A timer of a process: it expires once, or again and again.
class ProcessTimer : public EventTimer {
 public:
  struct Setting {
    std::uint64_t interval = 0;  // ns; 0: once
    std::uint64_t left = 0;      // ns until it expires; 0: it is not set
  };

  ProcessTimer(Process& process, const TimerClock& clock) : process_(process), clock_(clock) {}
  virtual ~ProcessTimer() = default;

  // Until a program has had some time for itself, and one that does not look has to do without for
  // longer.
  static constexpr std::uint64_t kLeastWait = 1'000'000;  // ns
  static constexpr std::uint64_t kLongWait = 10'000'000;  // ns

  const TimerClock& clock() const { return clock_; }
  Setting setting() const;
  // `next`: what the clock shows when it expires; null: it is stopped.
  void start(const std::uint64_t* next, std::uint64_t interval);

 protected:
  Process& process() const { return process_; }
  // How many periods have passed since it expired, that one included. It is set for the end of the
  // period that has begun, but not before `least_wait` (ns) has passed.
  std::uint64_t go_on(std::uint64_t least_wait);

 private:
  void expire() override;
  // It has expired. It stays as it is until go_on().
  virtual void ring() = 0;
  // Whether it does anything when it expires.
  virtual bool is_audible() const { return true; }
  void arm(std::uint64_t least_wait = 0);  // ns

  Process& process_;
  TimerClock clock_;
  std::uint64_t next_ = 0;  // on the clock; 0: not set
  std::uint64_t interval_ = 0;
};

// setitimer(2)'s kinds.
enum class IntervalKind : std::uint8_t { kReal, kVirtual, kProfile };

// What timer_create(2) is told about the signal.
struct TimerEvent {
  std::uint32_t signal = 0;  // 0: none
  std::uint32_t task = 0;    // the thread that gets it; 0: the process
  bool has_value = false;    // else it is the timer's id
  std::uint64_t value = 0;
};

class PosixTimer;

// All timers of a process.
class ProcessTimers : public Counted {
 public:
  static constexpr std::uint32_t kMaximum = 1024;

  explicit ProcessTimers(Process& process);
  ~ProcessTimers() override;
  // False: there was no memory for all of it.
  bool is_complete() const { return is_complete_; }

  ProcessTimer& interval(IntervalKind kind) { return *intervals_[static_cast<std::size_t>(kind)]; }
  // RLIMIT_CPU has changed.
  void watch_processor_limit();

  // The number of a new timer, or a negative errno.
  std::int64_t create(const TimerClock& clock, const TimerEvent& event);
  std::uint32_t count() const { return count_; }
  // Null: there is none.
  PosixTimer* find(std::uint64_t id);
  // Signals of these numbers are no longer pending, and nobody has had them.
  void signals_dropped(std::uint64_t set);
  void remove(PosixTimer& timer);
  // exec(2): those of timer_create(2) go.
  void remove_all();

 private:
  Process& process_;
  std::array<ProcessTimer*, 3> intervals_ = {};
  ProcessTimer* limit_ = nullptr;
  bool is_complete_ = false;
  PosixTimer* first_ = nullptr;
  std::uint32_t count_ = 0;
  std::uint32_t next_id_ = 0;
};

// timer_create(2). It stands still while its signal is pending: what it missed is counted when the
// signal is taken.
class PosixTimer : public ProcessTimer, public Charged<signals_share> {
 public:
  PosixTimer(Process& process, const TimerClock& clock, const TimerEvent& event, std::uint32_t id)
      : ProcessTimer(process, clock), event_(event), id_(id) {}

  std::uint32_t id() const { return id_; }
  // Expirations that the last signal stands for beside its own.
  std::uint32_t overruns() const { return overruns_; }
  // Forgets how it was set before.
  void forget() {
    overruns_ = 0;
    is_pending_ = false;
  }
  // Its signal is being delivered: `info` is to tell of what was missed.
  void taken(SignalInfo& info);

 private:
  friend class ProcessTimers;
  void ring() override;
  bool is_audible() const override { return event_.signal != 0; }

  TimerEvent event_;
  std::uint32_t id_;
  std::uint32_t overruns_ = 0;
  bool is_pending_ = false;
  PosixTimer* next_ = nullptr;
};

// A process's timers, made when first asked for. Null: no memory.
ProcessTimers* timers_of(Process& process);

}  // namespace linux_server
