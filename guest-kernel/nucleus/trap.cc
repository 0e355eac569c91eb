#include "guest-kernel/nucleus/interrupt.h"
#include "guest-kernel/nucleus/kernel_lock.h"
#include "guest-kernel/nucleus/panic.h"
#include "guest-kernel/nucleus/port.h"
#include "guest-kernel/nucleus/scheduler.h"
#include "guest-kernel/nucleus/timer.h"
#include "instructions.h"
#include "local_apic.h"
#include "processor.h"

namespace nucleus {
namespace {

constexpr unsigned kPageFault = 14;

void handle_interrupt(Processor& processor, std::uint64_t vector) {
  ++processor.interrupts;
  if (vector == kVectorTimer) {
    timer_interrupt(processor);
  } else if (vector - kVectorGsiBase < kGsiCount) {
    device_interrupt(processor, static_cast<unsigned>(vector - kVectorGsiBase));
  }
  if (vector != kVectorSpurious) {
    end_of_interrupt();
  }
}

}  // namespace

// From ring 3 (entry.S): an exception or interrupt; the frame is complete. Returns who runs next.
extern "C" Thread* trap_entry(Thread* thread) {
  Processor& processor = *thread->processor;
  const std::uint64_t vector = thread->frame.vector;
  // Before the lock: whoever asked holds it and waits.
  if (vector == kVectorKick) {
    processor.serve_requests();
  } else if (vector == kPageFault) {
    thread->fault_address = read_cr2();
  }
  acquire_kernel_lock(processor);
  if (vector >= kVectorGsiBase) {
    handle_interrupt(processor, vector);
  } else if (thread->state == ThreadState::kRunning) {
    raise_fault(processor, *thread);
  }
  Thread* next = schedule(processor);
  release_kernel_lock();
  return next;
}

// From ring 0: idle, or a bug.
extern "C" Thread* trap_in_kernel_entry(Processor* processor, std::uint64_t vector,
                                        std::uint64_t error_code, std::uint64_t rip) {
  if (vector < kVectorGsiBase || processor->current != nullptr) {
    panic("exception in the nucleus: vector and rip", vector | (error_code << 32), rip);
  }
  if (vector == kVectorKick) {
    processor->serve_requests();
  }
  acquire_kernel_lock(*processor);
  handle_interrupt(*processor, vector);
  Thread* next = schedule(*processor);
  release_kernel_lock();
  return next;
}

}  // namespace nucleus
