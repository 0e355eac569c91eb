#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "guest-kernel/lib/system_call.h"
#include "guest-kernel/linux/server/pending_signals.h"
#include "guest-kernel/linux/server/processor_time.h"
#include "guest-kernel/linux/server/reference.h"
#include "guest-kernel/linux/server/result.h"
#include "guest-kernel/linux/shim/layout.h"

namespace linux_server {

class Process;
class WaitObserver;
class WaitQueue;

// sched(7). It is kept and told, but all threads run at the same priority.
struct Scheduling {
  std::int32_t niceness = 0;     // −20 … 19
  std::uint32_t policy = 0;      // SCHED_…
  std::uint32_t priority = 0;    // of SCHED_FIFO and SCHED_RR
  bool resets_on_fork = false;   // SCHED_RESET_ON_FORK
  std::uint64_t processors = 0;  // those that sched_setaffinity(2) allows; 0: all
  std::uint64_t timer_slack = 50'000;
  std::uint32_t input_output = 0;  // ioprio_set(2)
};

// What a futex is known by, as futex(7) says: a place in a file for shared memory, else an address
// of one address space. Not the memory itself: that of a private page changes when a child shares
// it.
struct FutexPlace {
  const void* owner = nullptr;  // the Node or AddressSpace; null: none
  std::uint64_t offset = 0;
  bool operator==(const FutexPlace&) const = default;
  explicit operator bool() const { return owner != nullptr; }
};

// A thread of a process, and the call that it waits for, if it does.
//
// A call that has to wait returns task.wait(queue): the caller stays blocked, and the whole call is
// made again, with `resumed` set, when the queue is woken or the deadline has passed. What it did
// before it waited (bytes of a write that fitted, say) it keeps in `progress`.
struct Task {
  static constexpr std::uint64_t kNever = ~std::uint64_t{0};

  Task() = default;
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task();

  // Returns kBlocked.
  std::int64_t wait(WaitQueue& queue);
  // Blocks without a queue: until `deadline`, or a signal.
  std::int64_t wait_for_deadline();
  // It is in no queue any more.
  void stop_waiting() { leave_queue(); }
  bool is_due() const;

  Process* process = nullptr;
  Task* next_in_process = nullptr;
  std::uint32_t id = 0;
  std::uint32_t index = 0;  // in the task table: the name that the shim knows the thread by
  guest::Slot thread = guest::kNoSlot;
  std::uint64_t nucleus_id = 0;  // what faults are reported under; 0: not known yet
  std::uint32_t processor = 0;
  std::uint64_t page_address = 0;    // of its shim::ThreadPage; 0: of a native program
  shim::ThreadPage* page = nullptr;  // the server's view of it

  ProcessorTime time;  // but for what it uses just now
  RunningShare share;
  Scheduling scheduling;

  PendingSignals pending;
  // It is to be stopped (SIGSTOP): calls that arrive are not answered until it goes on.
  bool held = false;  // an answer is kept back in `held_result`
  std::int64_t held_result = 0;
  bool suspended = false;  // the nucleus keeps it from running
  // Of a futex(2) that waits: its word, none once woken; its bits.
  FutexPlace futex;
  std::uint32_t futex_bits = 0;

  std::uint64_t token = 0;  // of the call being served
  std::uint64_t number = 0;
  std::array<std::uint64_t, 6> arguments = {};
  bool blocked = false;
  // The call is being made again after it had blocked; `deadline` is what its first time set.
  bool resumed = false;
  // It is made a last time because a signal arrived. If it returns kBlocked all the same, the
  // program gets EINTR or the call is restarted, as sigaction(2) has it.
  bool interrupted = false;
  bool uninterruptible = false;     // signals wait until the call is over
  std::uint64_t deadline = kNever;  // monotonic ns
  std::int64_t progress = 0;
  // What wakes it besides the queue that it is in.
  Reference<Counted> watches;

 private:
  friend class WaitQueue;
  void leave_queue();

  WaitQueue* queue_ = nullptr;
  Task* next_ = nullptr;  // in queue_
  Task* previous_ = nullptr;
};

// Who waits for something to change: pipes, sockets, terminals, futexes, processes have one each.
class WaitQueue {
 public:
  WaitQueue() = default;
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;
  ~WaitQueue();

  // All who wait make their calls again, soon. `events`: the Readiness that may have begun, for the
  // observers. Where these wake other queues, each is woken once, by however many ways it is
  // reached.
  void wake(std::uint32_t events = ~std::uint32_t{0});
  // The one who waits longest only, and only where nobody polls it (futexes). False: nobody.
  bool wake_one();
  bool empty() const { return first_ == nullptr; }
  Task* first() const { return first_; }
  static Task* next(const Task& task) { return task.next_; }

 private:
  friend struct Task;

  friend class WaitObserver;

  Task* first_ = nullptr;
  Task* last_ = nullptr;
  WaitObserver* first_observer_ = nullptr;
  std::uint64_t last_wake_ = 0;
};

// Told each time that a queue is woken, for as long as both live.
class WaitObserver {
 public:
  WaitObserver() = default;
  WaitObserver(const WaitObserver&) = delete;
  WaitObserver& operator=(const WaitObserver&) = delete;

  void observe(WaitQueue& queue);
  void stop_observing();

 protected:
  ~WaitObserver() { stop_observing(); }

 private:
  friend class WaitQueue;
  // Must not change who observes the queue, nor end an observer.
  virtual void woken(std::uint32_t events) = 0;

  WaitQueue* queue_ = nullptr;
  WaitObserver* next_ = nullptr;
  WaitObserver* previous_ = nullptr;
};

// Those whose calls are to be made again, in order. The server's loop empties it.
WaitQueue& ready_tasks();

}  // namespace linux_server
