#include "guest-kernel/linux/server/ipc/signal_arrivals.h"

#include <bit>
#include <cstddef>
#include <new>

#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/signals.h"

namespace linux_server {
namespace {

// All zeroes is an empty queue; no destructor runs.
alignas(WaitQueue) std::byte arrivals_memory[sizeof(WaitQueue)];

}  // namespace

std::uint64_t pending_signals() {
  const Task* const task = server().current();
  return task == nullptr ? 0 : task->pending.set() | task->process->pending.set();
}

bool take_pending_signal(Task& task, std::uint64_t mask, SignalRecord& record) {
  const std::uint64_t set = (task.pending.set() | task.process->pending.set()) & mask;
  if (set == 0) {
    return false;
  }
  const auto number = static_cast<std::uint32_t>(std::countr_zero(set)) + 1;
  const SignalInfo info = take_pending(task, number);
  publish_signals(*task.process);
  record = {};
  record.number = number;
  record.code = info.code();
  if (number == kSignalSegmentation || number == kSignalBus) {
    record.address = info.words[2];
  } else if (info.code() == SignalInfo::kTimer) {
    record.timer = static_cast<std::uint32_t>(info.words[2]);
    record.overrun = static_cast<std::uint32_t>(info.words[2] >> 32);
    record.pointer = info.words[3];
    record.value = static_cast<std::int32_t>(info.words[3]);
  } else {
    record.process = static_cast<std::uint32_t>(info.words[2]);
    record.user = static_cast<std::uint32_t>(info.words[2] >> 32);
    record.pointer = info.words[3];
    // si_status of SIGCHLD, or si_int.
    (number == kSignalChild ? record.status : record.value) =
        static_cast<std::int32_t>(info.words[3]);
  }
  return true;
}

WaitQueue& signal_arrivals() {
  return *std::launder(reinterpret_cast<WaitQueue*>(arrivals_memory));
}

}  // namespace linux_server
