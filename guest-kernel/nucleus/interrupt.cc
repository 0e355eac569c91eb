#include "guest-kernel/nucleus/interrupt.h"

#include "guest-kernel/nucleus/kernel_memory.h"
#include "processor.h"

namespace nucleus {
namespace {

Interrupt* interrupts[kGsiCount];

}  // namespace

bool interrupt_in_use(unsigned gsi) {
  return interrupts[gsi] != nullptr;
}

Interrupt* create_interrupt(Processor& processor, Domain* payer, unsigned gsi, Trigger trigger,
                            Port& port, std::uint64_t badge) {
  auto* interrupt = static_cast<Interrupt*>(allocate_charged(*payer, sizeof(Interrupt)));
  if (interrupt == nullptr) {
    return nullptr;
  }
  interrupt->type = ObjectType::kInterrupt;
  interrupt->payer = payer;
  add_reference(payer);
  interrupt->signal = {&port, badge};
  add_reference(&port);
  interrupt->gsi = gsi;
  interrupt->trigger = trigger;
  interrupt->apic_id = processor.apic_id;
  interrupts[gsi] = interrupt;
  route_gsi(gsi, trigger, interrupt->apic_id, false);
  return interrupt;
}

void acknowledge_interrupt(Interrupt& interrupt) {
  if (interrupt.trigger == Trigger::kLevelHigh) {
    route_gsi(interrupt.gsi, interrupt.trigger, interrupt.apic_id, false);
  }
}

void end_interrupt(Interrupt& interrupt) {
  route_gsi(interrupt.gsi, interrupt.trigger, interrupt.apic_id, true);
  interrupts[interrupt.gsi] = nullptr;
  drop_reference(interrupt.signal.port);
}

void device_interrupt(Processor& processor, unsigned gsi) {
  Interrupt* interrupt = interrupts[gsi];
  if (interrupt != nullptr) {
    if (interrupt->trigger == Trigger::kLevelHigh) {
      route_gsi(gsi, interrupt->trigger, interrupt->apic_id, true);
    }
    signal_port(processor, *interrupt->signal.port, interrupt->signal.badge);
  }
}

}  // namespace nucleus
