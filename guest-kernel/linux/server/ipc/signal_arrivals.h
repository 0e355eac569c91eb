#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// struct signalfd_siginfo
struct SignalRecord {
  std::uint32_t number;
  std::int32_t error;
  std::int32_t code;
  std::uint32_t process;
  std::uint32_t user;
  std::int32_t descriptor;
  std::uint32_t timer;
  std::uint32_t band;
  std::uint32_t overrun;
  std::uint32_t trap;
  std::int32_t status;
  std::int32_t value;
  std::uint64_t pointer;
  std::uint64_t user_time;
  std::uint64_t system_time;
  std::uint64_t address;
  std::uint8_t reserved[48];
};
static_assert(sizeof(SignalRecord) == 128);

// What signalfd(2) asks of those who keep the signals: those pending for the task whose call is
// being made, or for its process. Bit n − 1 stands for signal n.
std::uint64_t pending_signals();
// Takes the first pending signal of `mask`. False: none.
bool take_pending_signal(Task& task, std::uint64_t mask, SignalRecord& record);
// Woken whenever a signal becomes pending that is blocked where it arrives.
WaitQueue& signal_arrivals();

}  // namespace linux_server
