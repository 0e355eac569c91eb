#pragma once

#include "guest-kernel/nucleus/port.h"
#include "local_apic.h"

namespace nucleus {

// One GSI, delivered as a notification. A level-triggered line is masked from its interrupt until
// its acknowledgement.
struct Interrupt : Object {
  Signal signal;
  unsigned gsi = 0;
  Trigger trigger = Trigger::kEdgeRising;
  std::uint32_t apic_id = 0;  // of the processor that it is routed to
};

// nullptr: no quota. The GSI is free (see interrupt_in_use) and in range.
Interrupt* create_interrupt(Processor& processor, Domain* payer, unsigned gsi, Trigger trigger,
                            Port& port, std::uint64_t badge);
bool interrupt_in_use(unsigned gsi);
void acknowledge_interrupt(Interrupt& interrupt);
void end_interrupt(Interrupt& interrupt);

// The processor took the interrupt of that GSI.
void device_interrupt(Processor& processor, unsigned gsi);

}  // namespace nucleus
