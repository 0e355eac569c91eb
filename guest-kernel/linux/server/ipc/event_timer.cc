#include "guest-kernel/linux/server/ipc/event_timer.h"

#include "guest-kernel/linux/server/task.h"

namespace linux_server {
namespace {

constinit EventTimer* first_timer = nullptr;  // earliest first

}  // namespace

void EventTimer::set(std::uint64_t deadline) {
  cancel();
  deadline_ = deadline;
  EventTimer* before = nullptr;
  EventTimer* after = first_timer;
  while (after != nullptr && after->deadline_ <= deadline) {
    before = after;
    after = after->next_;
  }
  previous_ = before;
  next_ = after;
  (before != nullptr ? before->next_ : first_timer) = this;
  if (after != nullptr) {
    after->previous_ = this;
  }
  set_ = true;
}

void EventTimer::cancel() {
  if (!set_) {
    return;
  }
  (previous_ != nullptr ? previous_->next_ : first_timer) = next_;
  if (next_ != nullptr) {
    next_->previous_ = previous_;
  }
  next_ = previous_ = nullptr;
  set_ = false;
}

std::uint64_t next_event_deadline() {
  return first_timer != nullptr ? first_timer->deadline() : Task::kNever;
}

void run_due_events(std::uint64_t now) {
  while (first_timer != nullptr && first_timer->deadline() <= now) {
    EventTimer& timer = *first_timer;
    timer.cancel();
    timer.expire();
  }
}

}  // namespace linux_server
