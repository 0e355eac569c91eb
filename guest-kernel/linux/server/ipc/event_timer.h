#pragma once

#include <cstdint>

namespace linux_server {

// Something that is to happen at a time: it is done by run_due_events(), which the server's loop
// calls when its one timer goes off.
class EventTimer {
 public:
  EventTimer() = default;
  EventTimer(const EventTimer&) = delete;
  EventTimer& operator=(const EventTimer&) = delete;

  // Sets it, anew if it was set. `deadline`: monotonic ns.
  void set(std::uint64_t deadline);
  void cancel();
  bool is_set() const { return set_; }
  std::uint64_t deadline() const { return deadline_; }

 protected:
  ~EventTimer() { cancel(); }

 private:
  friend void run_due_events(std::uint64_t now);
  // It is no longer set.
  virtual void expire() = 0;

  std::uint64_t deadline_ = 0;
  // In a pairing heap: its first child, its next sibling, and its previous sibling or else its
  // parent.
  friend class EventHeap;
  EventTimer* child_ = nullptr;
  EventTimer* next_ = nullptr;
  EventTimer* previous_ = nullptr;
  bool set_ = false;
};

// When the next one is due, in monotonic ns; Task::kNever: none.
std::uint64_t next_event_deadline();
// Lets those expire that are due at `now`.
void run_due_events(std::uint64_t now);

}  // namespace linux_server
