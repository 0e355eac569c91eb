#include "guest-kernel/linux/server/task.h"

#include <cstddef>
#include <new>

#include "guest-kernel/lib/clock.h"

namespace linux_server {
namespace {

// All zeroes is an empty queue; no destructor runs.
alignas(WaitQueue) std::byte ready_memory[sizeof(WaitQueue)];

}  // namespace

WaitQueue& ready_tasks() {
  return *std::launder(reinterpret_cast<WaitQueue*>(ready_memory));
}

Task::~Task() {
  leave_queue();
}

void Task::leave_queue() {
  if (queue_ == nullptr) {
    return;
  }
  (previous_ != nullptr ? previous_->next_ : queue_->first_) = next_;
  (next_ != nullptr ? next_->previous_ : queue_->last_) = previous_;
  queue_ = nullptr;
  next_ = previous_ = nullptr;
}

std::int64_t Task::wait(WaitQueue& queue) {
  leave_queue();
  queue_ = &queue;
  previous_ = queue.last_;
  (queue.last_ != nullptr ? queue.last_->next_ : queue.first_) = this;
  queue.last_ = this;
  return kBlocked;
}

std::int64_t Task::wait_for_deadline() {
  leave_queue();
  return kBlocked;
}

bool Task::is_due() const {
  return deadline != kNever && guest::monotonic_ns() >= deadline;
}

bool WaitQueue::wake_one() {
  if (first_ == nullptr) {
    return false;
  }
  first_->wait(ready_tasks());
  return true;
}

void WaitQueue::wake(std::uint32_t events) {
  while (wake_one()) {
  }
  if (first_observer_ == nullptr) {
    return;
  }
  static constinit std::uint64_t number = 0;
  static constinit unsigned depth = 0;
  number += depth == 0 ? 1 : 0;
  if (last_wake_ == number) {
    return;
  }
  last_wake_ = number;
  ++depth;
  for (WaitObserver* observer = first_observer_; observer != nullptr; observer = observer->next_) {
    observer->woken(events);
  }
  --depth;
}

WaitQueue::~WaitQueue() {
  while (first_observer_ != nullptr) {
    first_observer_->stop_observing();
  }
  wake();
}

void WaitObserver::observe(WaitQueue& queue) {
  stop_observing();
  queue_ = &queue;
  next_ = queue.first_observer_;
  if (next_ != nullptr) {
    next_->previous_ = this;
  }
  queue.first_observer_ = this;
}

void WaitObserver::stop_observing() {
  if (queue_ == nullptr) {
    return;
  }
  (previous_ != nullptr ? previous_->next_ : queue_->first_observer_) = next_;
  if (next_ != nullptr) {
    next_->previous_ = previous_;
  }
  queue_ = nullptr;
  next_ = previous_ = nullptr;
}

}  // namespace linux_server
