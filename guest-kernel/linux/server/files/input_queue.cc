#include "guest-kernel/linux/server/files/input_queue.h"

namespace linux_server {
namespace {

bool ends_report(const input_event& event) {
  return event.type == EV_SYN && event.code == SYN_REPORT;
}

input_event dropped_mark(const input_event& model) {
  input_event mark = model;
  mark.type = EV_SYN;
  mark.code = SYN_DROPPED;
  mark.value = 0;
  return mark;
}

}  // namespace

void InputQueue::append(const input_event& event) {
  at(count_++) = event;
  if (ends_report(event)) {
    readable_ = count_;
  }
}

void InputQueue::add(const input_event& event) {
  // Its report had only what this file dropped, or came before it.
  if (ends_report(event) && readable_ == count_) {
    return;
  }
  if (count_ + 1 == kSize) {
    count_ = 0;
    readable_ = 0;
    append(dropped_mark(event));
  }
  append(event);
}

void InputQueue::pop() {
  first_ = (first_ + 1) % kSize;
  --count_;
  --readable_;
}

void InputQueue::drop(std::uint16_t type) {
  const std::size_t count = count_;
  count_ = 0;
  readable_ = 0;
  // The end of a report that was begun to be read is kept.
  bool has_events = true;
  for (std::size_t place = 0; place < count; ++place) {
    const input_event event = at(place);
    const bool ends = ends_report(event);
    if (event.type == type || (ends && !has_events)) {
      continue;
    }
    append(event);
    has_events = !ends;
  }
}

void InputQueue::drop_all(const input_event& lost) {
  if (count_ != 0) {
    count_ = 0;
    readable_ = 0;
    append(dropped_mark(lost));
  }
}

}  // namespace linux_server
