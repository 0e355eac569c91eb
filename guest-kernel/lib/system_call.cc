#include "guest-kernel/lib/system_call.h"

#include <cstddef>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/lib/system_call_asm.h"

namespace guest {
namespace {

static_assert(abi::kSystemCallEntry == SYSTEM_CALL_ENTRY);
static_assert(offsetof(SystemCallFrame, slot) == 8);
static_assert(offsetof(SystemCallFrame, token) == 16);
static_assert(offsetof(SystemCallFrame, message) == 24);

Status enter(SystemCallFrame& frame) {
  guest_system_call(&frame);
  return static_cast<Status>(frame.selector);
}

Status enter(abi::SystemCall call, Slot slot, const Message& message = {}) {
  SystemCallFrame frame{static_cast<std::uint64_t>(call), slot, 0, message};
  return enter(frame);
}

Result<Received> receive(abi::SystemCall call, Slot port, std::uint64_t token,
                         const Message& answer) {
  SystemCallFrame frame{static_cast<std::uint64_t>(call), port, token, answer};
  const Status status = enter(frame);
  if (status != Status::kOk) {
    return std::unexpected(status);
  }
  return Received{frame.token, frame.slot, frame.message};
}

template <typename Enumeration>
std::uint64_t number(Enumeration value) {
  return static_cast<std::uint64_t>(value);
}

}  // namespace

Status call(Slot port, Message& message) {
  SystemCallFrame frame{number(abi::SystemCall::kCall), port, 0, message};
  const Status status = enter(frame);
  message = frame.message;
  return status;
}

Status reply(std::uint64_t token, const Message& message) {
  SystemCallFrame frame{number(abi::SystemCall::kReply), 0, token, message};
  return enter(frame);
}

Status signal(Slot port) {
  return enter(abi::SystemCall::kSignal, port);
}

Result<Received> Receiver::wait() const {
  return receive(abi::SystemCall::kReplyWait, port_, 0, {});
}

Result<Received> Receiver::reply_and_wait(std::uint64_t token, const Message& answer) const {
  return receive(abi::SystemCall::kReplyWait, port_, token, answer);
}

Result<Received> Receiver::poll() const {
  return receive(abi::SystemCall::kPoll, port_, 0, {});
}

Status copy_capability(Slot domain, Slot to, Slot from, std::uint64_t rights, std::uint64_t badge) {
  return enter(abi::SystemCall::kCapabilityCopy, domain, {{to, from, rights, badge}});
}

Status delete_capability(Slot domain, Slot slot) {
  return enter(abi::SystemCall::kCapabilityDelete, domain, {{slot}});
}

Status create_domain(Slot to, std::uint64_t slots, std::uint64_t kernel_pages,
                     DomainLimits limits) {
  return enter(
      abi::SystemCall::kDomainCreate, kNoSlot,
      {{to, slots, kernel_pages, abi::domain_limits(limits.highest_priority, limits.bare)}});
}

Status set_fault_port(Slot domain, Slot port) {
  return enter(abi::SystemCall::kDomainSetFaultPort, domain, {{port}});
}

Status end_domain(Slot domain) {
  return enter(abi::SystemCall::kDomainEnd, domain);
}

Status create_thread(Slot to, Slot domain, const ThreadStart& start) {
  return enter(abi::SystemCall::kThreadCreate, domain,
               {{to, start.entry, start.stack, start.argument,
                 abi::thread_attributes(start.priority, start.processor, start.bare)}});
}

Status control_thread(Slot thread, abi::ThreadOperation operation, std::uint64_t argument) {
  return enter(abi::SystemCall::kThreadControl, thread, {{number(operation), argument}});
}

Result<RegisterWords> read_thread(Slot thread, abi::RegisterGroup group) {
  SystemCallFrame frame{number(abi::SystemCall::kThreadRead), thread, 0, {{number(group)}}};
  const Status status = enter(frame);
  if (status != Status::kOk) {
    return std::unexpected(status);
  }
  const Message& m = frame.message;
  return RegisterWords{m[1], m[2], m[3], m[4], m[5], m[6]};
}

Status write_thread(Slot thread, abi::RegisterGroup group, const RegisterWords& words) {
  return enter(abi::SystemCall::kThreadWrite, thread,
               {{number(group), words[0], words[1], words[2], words[3], words[4], words[5]}});
}

Status set_thread_bases(Slot thread, std::uint64_t fs_base, std::uint64_t gs_base) {
  return enter(abi::SystemCall::kThreadSetBases, thread, {{fs_base, gs_base}});
}

void exit_thread() {
  for (;;) {
    enter(abi::SystemCall::kThreadExit, kNoSlot);
  }
}

extern "C" void guest_exit_thread() {
  exit_thread();
}

void yield() {
  enter(abi::SystemCall::kYield, kNoSlot);
}

Status create_port(Slot to) {
  return enter(abi::SystemCall::kPortCreate, kNoSlot, {{to}});
}

Status create_timer(Slot to, Slot port) {
  return enter(abi::SystemCall::kTimerCreate, port, {{to}});
}

Status arm_timer(Slot timer, std::uint64_t deadline) {
  return enter(abi::SystemCall::kTimerArm, timer, {{deadline}});
}

Status carve(Slot to, Slot region, std::uint64_t offset, std::uint64_t size, std::uint64_t rights) {
  return enter(abi::SystemCall::kRegionCarve, region, {{to, offset, size, rights}});
}

Status map(Slot domain, std::uint64_t address, Slot region, std::uint64_t offset,
           std::uint64_t size, std::uint64_t protection) {
  return enter(abi::SystemCall::kMap, domain, {{address, region, offset, size, protection}});
}

Status unmap(Slot domain, std::uint64_t address, std::uint64_t size) {
  return enter(abi::SystemCall::kUnmap, domain, {{address, size}});
}

Status protect(Slot domain, std::uint64_t address, std::uint64_t size, std::uint64_t protection) {
  return enter(abi::SystemCall::kProtect, domain, {{address, size, protection}});
}

Status create_interrupt(Slot to, Slot interrupts, std::uint64_t gsi, abi::InterruptTrigger trigger,
                        Slot port) {
  return enter(abi::SystemCall::kInterruptCreate, interrupts, {{to, gsi, number(trigger), port}});
}

Status acknowledge_interrupt(Slot interrupt) {
  return enter(abi::SystemCall::kInterruptAcknowledge, interrupt);
}

Result<std::uint64_t> start_processor(Slot machine, std::uint64_t apic_id) {
  SystemCallFrame frame{number(abi::SystemCall::kProcessorStart), machine, 0, {{apic_id}}};
  const Status status = enter(frame);
  if (status != Status::kOk) {
    return std::unexpected(status);
  }
  return frame.message[0];
}

Status write_port(Slot ports, std::uint16_t port, unsigned width, std::uint32_t value) {
  return enter(abi::SystemCall::kPortAccess, ports, {{port, width, 1, value}});
}

Result<std::uint32_t> read_port(Slot ports, std::uint16_t port, unsigned width) {
  SystemCallFrame frame{number(abi::SystemCall::kPortAccess), ports, 0, {{port, width, 0, 0}}};
  const Status status = enter(frame);
  if (status != Status::kOk) {
    return std::unexpected(status);
  }
  return static_cast<std::uint32_t>(frame.message[0]);
}

Result<Message> information(abi::InformationKind kind, std::uint64_t argument, Slot subject) {
  SystemCallFrame frame{
      number(abi::SystemCall::kInformation), subject, 0, {{number(kind), argument}}};
  const Status status = enter(frame);
  if (status != Status::kOk) {
    return std::unexpected(status);
  }
  return frame.message;
}

const char* status_name(Status status) {
  switch (status) {
    case Status::kOk:
      return "done";
    case Status::kBadCapability:
      return "no such capability";
    case Status::kNoRight:
      return "right missing";
    case Status::kBadArgument:
      return "bad argument";
    case Status::kNoMemory:
      return "kernel memory quota used up";
    case Status::kSlotInUse:
      return "slot in use";
    case Status::kNotFound:
      return "not found";
    case Status::kWouldBlock:
      return "would block";
    case Status::kPeerGone:
      return "peer gone";
    case Status::kBadState:
      return "bad state";
    case Status::kNoSuchCall:
      return "no such call";
  }
  return "unknown status";
}

}  // namespace guest
