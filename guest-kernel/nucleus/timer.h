#pragma once

#include "guest-kernel/nucleus/port.h"

namespace nucleus {

struct Processor;

// Signals a port at an instant of the TSC. Armed timers stand in the list of the processor that
// armed them.
struct Timer : Object {
  Signal signal;
  std::uint64_t deadline = 0;  // 0: not armed
  Processor* processor = nullptr;
  Timer* next = nullptr;
  Timer* previous = nullptr;
};

// Of one domain: arming one looks at those that come before it.
inline constexpr std::uint32_t kMaximumTimers = 128;

// nullptr: no quota, or too many.
Timer* create_timer(Domain* payer, Port& port, std::uint64_t badge);
void arm_timer(Processor& processor, Timer& timer, std::uint64_t deadline);
void disarm_timer(Timer& timer);

// The hardware timer fired: signals what is due, ends the current thread's slice.
void timer_interrupt(Processor& processor);

// Sets the hardware timer to the earliest of the first timer and the slice's end.
void update_timer(Processor& processor);

// Starts or ends the current thread's time slice, as an equal waits or not.
void update_slice(Processor& processor);

}  // namespace nucleus
