#include "guest-kernel/linux/server/ipc/event_timer.h"

#include <utility>

#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// A pairing heap, earliest first: setting a timer takes constant time, removing one logarithmic
// time in the mean, however many there are.
class EventHeap {
 public:
  constexpr EventHeap() = default;

  EventTimer* first() const { return root_; }

  void insert(EventTimer& timer) {
    timer.child_ = timer.next_ = timer.previous_ = nullptr;
    root_ = root_ != nullptr ? join(root_, &timer) : &timer;
  }

  void remove(EventTimer& timer) {
    EventTimer* rest = join_all(std::exchange(timer.child_, nullptr));
    if (&timer == root_) {
      root_ = rest;
      return;
    }
    (timer.previous_->child_ == &timer ? timer.previous_->child_ : timer.previous_->next_) =
        timer.next_;
    if (timer.next_ != nullptr) {
      timer.next_->previous_ = timer.previous_;
    }
    timer.next_ = timer.previous_ = nullptr;
    root_ = rest != nullptr ? join(root_, rest) : root_;
  }

 private:
  // Of two heaps, one; neither has siblings.
  static EventTimer* join(EventTimer* one, EventTimer* other) {
    if (other->deadline_ < one->deadline_) {
      std::swap(one, other);
    }
    other->next_ = one->child_;
    if (other->next_ != nullptr) {
      other->next_->previous_ = other;
    }
    other->previous_ = one;
    one->child_ = other;
    return one;
  }

  // Of siblings, one heap: in pairs, then all pairs, the last first.
  static EventTimer* join_all(EventTimer* first) {
    EventTimer* pairs = nullptr;
    while (first != nullptr) {
      EventTimer* one = first;
      EventTimer* other = one->next_;
      first = other != nullptr ? other->next_ : nullptr;
      one->next_ = one->previous_ = nullptr;
      if (other != nullptr) {
        other->next_ = other->previous_ = nullptr;
        one = join(one, other);
      }
      one->next_ = pairs;
      pairs = one;
    }
    EventTimer* all = nullptr;
    while (pairs != nullptr) {
      EventTimer* one = pairs;
      pairs = std::exchange(one->next_, nullptr);
      all = all != nullptr ? join(all, one) : one;
    }
    return all;
  }

  EventTimer* root_ = nullptr;
};

namespace {

constinit EventHeap timers;

}  // namespace

void EventTimer::set(std::uint64_t deadline) {
  cancel();
  deadline_ = deadline;
  timers.insert(*this);
  set_ = true;
}

void EventTimer::cancel() {
  if (set_) {
    timers.remove(*this);
    set_ = false;
  }
}

std::uint64_t next_event_deadline() {
  return timers.first() != nullptr ? timers.first()->deadline() : Task::kNever;
}

void run_due_events(std::uint64_t now) {
  while (timers.first() != nullptr && timers.first()->deadline() <= now) {
    EventTimer& timer = *timers.first();
    timer.cancel();
    timer.expire();
  }
}

}  // namespace linux_server
