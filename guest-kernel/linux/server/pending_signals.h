#pragma once

#include <array>
#include <cstdint>

#include "guest-kernel/linux/server/memory_share.h"

namespace linux_server {

// The part of a siginfo_t that is ever used, as 64-bit words: number and errno, code, then what
// depends on the code.
struct SignalInfo {
  std::array<std::uint64_t, 6> words = {};

  std::uint32_t number() const { return static_cast<std::uint32_t>(words[0]); }
  std::int32_t code() const { return static_cast<std::int32_t>(words[1]); }

  // si_code of kill(2), the kernel, sigqueue(3), timers and tgkill(2).
  enum Code : std::int32_t { kUser = 0, kKernel = 0x80, kQueue = -1, kTimer = -2, kThread = -6 };

  static SignalInfo of(std::uint32_t number, std::int32_t code) {
    return {{number, static_cast<std::uint32_t>(code)}};
  }
  // si_pid and, in the upper half, si_uid (Process::as_sender()); si_value.
  static SignalInfo from_process(std::uint32_t number, std::int32_t code, std::uint64_t sender,
                                 std::uint64_t value = 0) {
    return {{number, static_cast<std::uint32_t>(code), sender, value}};
  }
  // si_addr
  static SignalInfo of_fault(std::uint32_t number, std::int32_t code, std::uint64_t address) {
    return {{number, static_cast<std::uint32_t>(code), address}};
  }
};

constexpr std::uint64_t signal_bit(std::uint64_t number) {
  return std::uint64_t{1} << (number - 1);
}

// Signals that wait to be delivered: one of each ordinary number, a queue of each real-time one.
// Those of timers all wait, for each tells its timer that it may go on.
class PendingSignals {
 public:
  static constexpr std::uint32_t kFirstRealTime = 32;
  static constexpr std::uint32_t kMaximumQueued = 1024;

  PendingSignals() = default;
  PendingSignals(const PendingSignals&) = delete;
  PendingSignals& operator=(const PendingSignals&) = delete;
  ~PendingSignals() { clear(~std::uint64_t{0}); }

  std::uint64_t set() const { return set_; }
  // False: the queue is full (as it is without `room`), or there is no memory. An ordinary signal,
  // and one of kill(2), is pending even then, without what it tells.
  bool add(const SignalInfo& info, bool room = true);
  std::uint32_t count() const { return count_; }
  // Takes the first one of `number`, which is in set().
  SignalInfo take(std::uint32_t number);
  // Whether one waits of the timer with that id (timer_create(2)).
  bool has_timer(std::uint32_t number, std::uint32_t timer) const;
  // Forgets all of the signals in `set`.
  void clear(std::uint64_t set);

 private:
  struct Entry : Charged<signals_share> {
    explicit Entry(const SignalInfo& what) : info(what) {}

    SignalInfo info;
    Entry* next = nullptr;
  };

  std::uint64_t set_ = 0;
  std::uint32_t count_ = 0;
  Entry* first_ = nullptr;
};

}  // namespace linux_server
