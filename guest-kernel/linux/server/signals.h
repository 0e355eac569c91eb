#pragma once

#include "guest-kernel/linux/server/pending_signals.h"
#include "guest-kernel/linux/server/process.h"
#include "guest-kernel/linux/server/signal_numbers.h"

// Sending signals, and what they do by default. Handlers are called by the shim, which asks for
// each signal that it finds pending in its thread's page.
namespace linux_server {

// What has become of a signal: it waits or has had its effect; nobody wants it; its receiver has as
// many real-time signals waiting as it may.
enum class Sent : std::uint8_t { kPending, kIgnored, kNoRoom };

// Each of these may condemn the process. A call of its own that is being served goes on to its end,
// and nobody hears its result.
Sent send_signal(Process& process, const SignalInfo& info);
Sent send_signal_to_task(Task& task, const SignalInfo& info);
// RLIMIT_SIGPENDING: whether the process's user may have one more real-time signal waiting, or one
// more timer.
bool has_signal_room(const Process& process);
// Takes the first signal of `number` that waits for the task, or for its process.
SignalInfo take_pending(Task& task, std::uint32_t number);
// Drops all that wait of `set`, in all threads.
void drop_signals(Process& process, std::uint64_t set);
// Sends a signal to the thread that makes the call, on behalf of that call (SIGPIPE, SIGXFSZ). The
// call returns its error all the same.
void raise_signal(Task& task, Signal signal);
// A signal that an exception of the thread's own raised, which cannot be put off: false if it is to
// end the process (it is blocked, ignored or has no handler).
bool force_signal(Task& task, const SignalInfo& info);

// SIGCHLD, with what has become of the child.
void send_child_signal(Process& child, std::uint32_t number);

bool is_ignored(const Process& process, std::uint32_t number);
std::uint64_t blocked_signals(const Task& task);
// Those that wait for this task and are not blocked.
std::uint64_t deliverable_signals(const Task& task);
// Tells the shims of a process what is pending.
void publish_signals(Process& process);

// The next signal whose handler the task is to call, with what the default actions of others have
// done on the way: none once the process is stopped. False: the process is condemned.
struct Delivery {
  std::uint32_t number = 0;  // 0: none
  SignalAction action = {};
};
bool take_signal(Task& task, Delivery& delivery);

void stop_process(Process& process, std::uint32_t number);
void continue_process(Process& process);

}  // namespace linux_server
