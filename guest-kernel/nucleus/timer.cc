#include "guest-kernel/nucleus/timer.h"

#include "guest-kernel/nucleus/kernel_memory.h"
#include "guest-kernel/nucleus/scheduler.h"
#include "instructions.h"
#include "local_apic.h"
#include "processor.h"

namespace nucleus {

Timer* create_timer(Domain* payer, Port& port, std::uint64_t badge) {
  auto* timer = payer->timers < kMaximumTimers
                    ? static_cast<Timer*>(allocate_charged(*payer, sizeof(Timer)))
                    : nullptr;
  if (timer == nullptr) {
    return nullptr;
  }
  ++payer->timers;
  timer->type = ObjectType::kTimer;
  timer->payer = payer;
  add_reference(payer);
  timer->signal = {&port, badge};
  add_reference(&port);
  return timer;
}

void disarm_timer(Timer& timer) {
  if (timer.deadline == 0) {
    return;
  }
  Processor& processor = *timer.processor;
  (timer.previous != nullptr ? timer.previous->next : processor.first_timer) = timer.next;
  if (timer.next != nullptr) {
    timer.next->previous = timer.previous;
  }
  timer.deadline = 0;
}

void arm_timer(Processor& processor, Timer& timer, std::uint64_t deadline) {
  disarm_timer(timer);
  if (deadline == 0) {
    return;  // a hardware timer that fires for nothing does no harm
  }
  Timer* after = nullptr;
  Timer* before = processor.first_timer;
  while (before != nullptr && before->deadline <= deadline) {
    after = before;
    before = before->next;
  }
  timer.deadline = deadline;
  timer.processor = &processor;
  timer.previous = after;
  timer.next = before;
  (after != nullptr ? after->next : processor.first_timer) = &timer;
  if (before != nullptr) {
    before->previous = &timer;
  }
  if (after == nullptr) {
    update_timer(processor);
  }
}

void update_timer(Processor& processor) {
  std::uint64_t deadline = processor.slice_end;
  if (const Timer* first = processor.first_timer;
      first != nullptr && (deadline == 0 || first->deadline < deadline)) {
    deadline = first->deadline;
  }
  if (deadline != processor.armed_until) {
    processor.armed_until = deadline;
    set_local_timer(deadline);
  }
}

void timer_interrupt(Processor& processor) {
  processor.armed_until = 0;
  const std::uint64_t now = read_tsc();
  // Those that do not fit into one interrupt get the next one, which update_timer() brings at once.
  unsigned most = 16;
  while (processor.first_timer != nullptr && processor.first_timer->deadline <= now && most-- > 0) {
    Timer& timer = *processor.first_timer;
    disarm_timer(timer);
    signal_port(processor, *timer.signal.port, timer.signal.badge);
  }
  if (processor.slice_end != 0 && processor.slice_end <= now) {
    processor.slice_end = 0;
    yield_current(processor);
  }
  update_timer(processor);
}

}  // namespace nucleus
