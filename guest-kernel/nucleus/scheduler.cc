#include "guest-kernel/nucleus/scheduler.h"

#include "guest-kernel/nucleus/timer.h"
#include "instructions.h"
#include "local_apic.h"
#include "page_table.h"

namespace nucleus {
namespace {

// 3 to 17 ms on processors of 1 to 5 GHz: the nucleus need not know the frequency.
constexpr std::uint64_t kSliceTicks = std::uint64_t{1} << 24;

void append(Processor& processor, Thread& thread) {
  auto& queue = processor.ready[thread.priority];
  thread.state = ThreadState::kReady;
  thread.processor = &processor;
  thread.next = nullptr;
  thread.previous = queue.last;
  (queue.last != nullptr ? queue.last->next : queue.first) = &thread;
  queue.last = &thread;
  processor.ready_priorities |= 1u << thread.priority;
}

void free_if_ended(Thread* previous) {
  if (previous != nullptr && previous->state == ThreadState::kEnded) {
    free_ended_thread(*previous);
  }
}

// Whether the processor has to hear of a thread that is ready there now.
bool must_look(const Processor& processor, const Thread& thread) {
  const Thread* current = processor.current;
  return current == nullptr || current->state != ThreadState::kRunning ||
         thread.priority > current->priority ||
         (thread.priority == current->priority && processor.slice_end == 0);
}

bool better_waits(const Processor& processor, const Thread& thread) {
  return (processor.ready_priorities >> thread.priority) > 1;
}

}  // namespace

void make_ready(Processor& here, Thread& thread) {
  if (thread.suspend_requested) {
    thread.state = ThreadState::kSuspended;
    return;
  }
  Processor* stands = standing_on(thread);
  Processor& target = stands != nullptr          ? *stands
                      : thread.pinned != nullptr ? *thread.pinned
                                                 : here;
  append(target, thread);
  target.reschedule = true;
  if (&target != &here && must_look(target, thread)) {
    send_kick(target);
  }
}

void remove_ready(Thread& thread) {
  Processor& processor = *thread.processor;
  auto& queue = processor.ready[thread.priority];
  (thread.previous != nullptr ? thread.previous->next : queue.first) = thread.next;
  (thread.next != nullptr ? thread.next->previous : queue.last) = thread.previous;
  if (queue.first == nullptr) {
    processor.ready_priorities &= ~(1u << thread.priority);
  }
}

void yield_current(Processor& processor) {
  Thread* thread = processor.current;
  if (thread != nullptr && thread->state == ThreadState::kRunning &&
      processor.ready[thread->priority].first != nullptr) {
    append(processor, *thread);
    processor.reschedule = true;
  }
}

Thread* schedule(Processor& processor) {
  processor.reschedule = false;
  Thread* current = processor.current;
  if (current != nullptr && current->state == ThreadState::kRunning) {
    if (!better_waits(processor, *current)) {
      update_slice(processor);
      return current;
    }
    append(processor, *current);
  }
  if (processor.ready_priorities == 0) {
    if (current != nullptr) {
      processor.idle_since = read_tsc();
    }
    processor.current = nullptr;
    if (processor.space != nullptr) {
      leave_space(processor);
    }
    free_if_ended(current);
    if (processor.slice_end != 0) {
      processor.slice_end = 0;
      update_timer(processor);
    }
    return nullptr;
  }
  auto& queue = processor.ready[highest_bit(processor.ready_priorities)];
  Thread& next = *queue.first;
  remove_ready(next);
  next.state = ThreadState::kRunning;
  if (current == nullptr && processor.idle_since != 0) {
    processor.idle_ticks += read_tsc() - processor.idle_since;
    processor.idle_since = 0;
  }
  ++processor.switches;
  processor.slice_end = 0;
  switch_to(processor, next);
  free_if_ended(current);
  update_slice(processor);
  return &next;
}

void update_slice(Processor& processor) {
  const bool shared = processor.ready[processor.current->priority].first != nullptr;
  if (shared == (processor.slice_end != 0)) {
    return;
  }
  processor.slice_end = shared ? read_tsc() + kSliceTicks : 0;
  update_timer(processor);
}

}  // namespace nucleus
