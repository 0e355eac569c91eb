#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "vmm/error.h"
#include "vmm/stop_reason.h"

namespace ensemble::vmm {

// Whether the vCPUs of one machine shall run, and whether they do. The controlling side sets a
// command and kicks the vCPU threads; each thread comes to `wait_to_run` whenever KVM_RUN has been
// interrupted, which KVM does only after a pending I/O exit is complete.
class RunControl {
 public:
  enum class Command { kPause, kRun, kStop };

  // --- The controlling side: any thread. ---

  // Adds a vCPU: `start` makes its thread, which waits in `wait_to_run` until commanded to run;
  // `kick` makes the thread leave KVM_RUN, or not enter it again. Both are called under the lock.
  Result<void> add_thread(const std::function<Result<void>()>& start, std::function<void()> kick);

  // Pause or run. Does nothing after a stop.
  void command(Command command);

  // The first reason counts.
  void stop(StopReason reason);

  // Waits until all threads are paused or have ended.
  void wait_until_paused();
  // Waits until `stop` was called and all threads have ended.
  void wait_until_ended();

  Command current() const;
  // Stop was called and no thread is left.
  bool ended() const;
  std::optional<StopReason> reason() const;

  // --- The side of a vCPU thread. ---

  // Waits while paused. True: run the guest; `prepare` has been called, under the same lock as a
  // kick, so that a kick after it is not lost. False: end the thread.
  bool wait_to_run(const std::function<void()>& prepare);

  // The calling thread will not touch the vCPU again. True for the last one.
  bool thread_ended();

 private:
  void kick_all();
  bool all_quiet() const { return waiting_ + ended_ == kicks_.size(); }

  mutable std::mutex mutex_;  // Guards all that follows. Innermost: taken inside any other lock.
  std::condition_variable changed_;
  Command command_ = Command::kPause;
  std::optional<StopReason> reason_;
  std::vector<std::function<void()>> kicks_;
  size_t waiting_ = 0;
  size_t ended_ = 0;
};

}  // namespace ensemble::vmm
