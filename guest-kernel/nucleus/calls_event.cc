#include "guest-kernel/nucleus/interrupt.h"
#include "guest-kernel/nucleus/port.h"
#include "guest-kernel/nucleus/system_call.h"
#include "guest-kernel/nucleus/timer.h"

namespace nucleus {

using abi::Status;

Status signal(std::uint64_t port, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t,
              std::uint64_t) {
  Status status{};
  const Slot* slot =
      check_slot(calling_domain(), port, ObjectType::kPort, abi::kRightSignal, status);
  if (slot == nullptr) {
    return status;
  }
  signal_port(running_processor(), static_cast<Port&>(*slot->object()), slot->badge);
  return Status::kOk;
}

Status port_create(std::uint64_t, std::uint64_t to, std::uint64_t, std::uint64_t, std::uint64_t,
                   std::uint64_t) {
  Domain& caller = calling_domain();
  Status status{};
  Slot* slot = find_free_slot(caller, to, status);
  return slot != nullptr ? deliver(*slot, create_port(&caller)) : status;
}

Status timer_create(std::uint64_t port, std::uint64_t to, std::uint64_t, std::uint64_t,
                    std::uint64_t, std::uint64_t) {
  Domain& caller = calling_domain();
  Status status{};
  Slot* slot = find_free_slot(caller, to, status);
  if (slot == nullptr) {
    return status;
  }
  const Slot* target = check_slot(caller, port, ObjectType::kPort, abi::kRightSignal, status);
  if (target == nullptr) {
    return status;
  }
  return deliver(*slot,
                 create_timer(&caller, static_cast<Port&>(*target->object()), target->badge));
}

Status timer_arm(std::uint64_t timer, std::uint64_t deadline, std::uint64_t, std::uint64_t,
                 std::uint64_t, std::uint64_t) {
  Status status{};
  Timer* found = find<Timer>(calling_domain(), timer, 0, status);
  if (found == nullptr) {
    return status;
  }
  arm_timer(running_processor(), *found, deadline);
  return Status::kOk;
}

Status interrupt_create(std::uint64_t control, std::uint64_t to, std::uint64_t gsi,
                        std::uint64_t trigger, std::uint64_t port, std::uint64_t) {
  Domain& caller = calling_domain();
  Status status{};
  if (check_slot(caller, control, ObjectType::kInterruptControl, 0, status) == nullptr) {
    return status;
  }
  Slot* slot = find_free_slot(caller, to, status);
  if (slot == nullptr) {
    return status;
  }
  const auto kind = static_cast<abi::InterruptTrigger>(trigger);
  if (gsi >= kGsiCount ||
      (kind != abi::InterruptTrigger::kEdgeRising && kind != abi::InterruptTrigger::kLevelHigh)) {
    return Status::kBadArgument;
  }
  const Slot* target = check_slot(caller, port, ObjectType::kPort, abi::kRightSignal, status);
  if (target == nullptr) {
    return status;
  }
  const auto line = static_cast<unsigned>(gsi);
  if (interrupt_in_use(line)) {
    return Status::kBadState;
  }
  return deliver(*slot,
                 create_interrupt(running_processor(), &caller, line, static_cast<Trigger>(trigger),
                                  static_cast<Port&>(*target->object()), target->badge));
}

Status interrupt_acknowledge(std::uint64_t interrupt, std::uint64_t, std::uint64_t, std::uint64_t,
                             std::uint64_t, std::uint64_t) {
  Status status{};
  Interrupt* found = find<Interrupt>(calling_domain(), interrupt, 0, status);
  if (found == nullptr) {
    return status;
  }
  acknowledge_interrupt(*found);
  return Status::kOk;
}

}  // namespace nucleus
