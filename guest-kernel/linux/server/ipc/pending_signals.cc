#include "guest-kernel/linux/server/ipc/pending_signals.h"

#include <cstddef>
#include <new>

namespace linux_server {
namespace {

// All zeroes is an empty queue; no destructor runs.
alignas(WaitQueue) std::byte arrivals_memory[sizeof(WaitQueue)];

}  // namespace

// No signal stays pending: one that nobody handles ends the process at once.
std::uint64_t pending_signals() {
  return 0;
}

bool take_pending_signal(Task& /*task*/, std::uint64_t /*mask*/, SignalRecord& /*record*/) {
  return false;
}

WaitQueue& signal_arrivals() {
  return *std::launder(reinterpret_cast<WaitQueue*>(arrivals_memory));
}

}  // namespace linux_server
