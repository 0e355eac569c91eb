#include "guest-kernel/nucleus/kernel_memory.h"
#include "guest-kernel/nucleus/region.h"
#include "guest-kernel/nucleus/root_objects.h"
#include "guest-kernel/nucleus/system_call.h"
#include "instructions.h"

namespace nucleus {

using abi::Status;

Object machine_object{.type = ObjectType::kMachine};
Object interrupt_control_object{.type = ObjectType::kInterruptControl};

namespace {

template <typename... Words>
Outcome answer(FrameCall& call, Words... words) {
  std::uint64_t* const registers[] = {&call.frame.rsi, &call.frame.rdx, &call.frame.r8,
                                      &call.frame.r9,  &call.frame.r10, &call.frame.r12,
                                      &call.frame.r13, &call.frame.r14};
  static_assert(sizeof...(words) <= abi::kMessageWords);
  unsigned i = 0;
  ((*registers[i++] = words), ...);
  return Status::kOk;
}

Outcome processor_information(FrameCall& call) {
  if (call.frame.rdx >= processor_count) {
    return Status::kNotFound;
  }
  const Processor& processor = *processors[call.frame.rdx];
  std::uint64_t idle = processor.idle_ticks;
  if (processor.idle_since != 0) {
    idle += read_tsc() - processor.idle_since;
  }
  return answer(call, std::uint64_t{processor.apic_id}, processor.switches, processor.interrupts,
                processor.system_calls, idle);
}

}  // namespace

Outcome processor_start(FrameCall& call) {
  Status status{};
  if (check_slot(call.domain, call.frame.rdi, ObjectType::kMachine, abi::kRightControl, status) ==
      nullptr) {
    return status;
  }
  std::uint64_t index = 0;
  status = start_processor(static_cast<std::uint32_t>(call.frame.rsi), index);
  call.frame.rsi = index;
  return status;
}

Outcome port_access(FrameCall& call) {
  const bool write = call.frame.r8 != 0;
  Status status{};
  const Slot* slot = check_slot(call.domain, call.frame.rdi, ObjectType::kIoPorts,
                                write ? abi::kRightWrite : abi::kRightRead, status);
  if (slot == nullptr) {
    return status;
  }
  const auto& ports = static_cast<Region&>(*slot->object());
  const std::uint64_t width = call.frame.rdx;
  if ((width != 1 && width != 2 && width != 4) || width > ports.size ||
      call.frame.rsi < ports.base || call.frame.rsi - ports.base > ports.size - width) {
    return Status::kBadArgument;
  }
  const auto port = static_cast<std::uint16_t>(call.frame.rsi);
  if (write) {
    port_write(port, static_cast<unsigned>(width), static_cast<std::uint32_t>(call.frame.r9));
    return Status::kOk;
  }
  return answer(call, std::uint64_t{port_read(port, static_cast<unsigned>(width))});
}

Outcome information(FrameCall& call) {
  Status status{};
  const auto kind = static_cast<abi::InformationKind>(call.frame.rsi);
  if ((kind == abi::InformationKind::kMachine || kind == abi::InformationKind::kProcessor) &&
      check_slot(call.domain, call.frame.rdi, ObjectType::kMachine, abi::kRightRead, status) ==
          nullptr) {
    return status;
  }
  switch (kind) {
    case abi::InformationKind::kMachine:
      return answer(call, std::uint64_t{processor_count},
                    std::uint64_t{machine_interpreted ? abi::kMachineInterpreted : 0},
                    free_kernel_pages(), total_kernel_pages());
    case abi::InformationKind::kProcessor:
      return processor_information(call);
    case abi::InformationKind::kDomain: {
      const Domain* domain = find<Domain>(call.domain, call.frame.rdi, 0, status);
      if (domain == nullptr) {
        return status;
      }
      std::uint64_t threads = 0;
      for (const Thread* thread = domain->threads; thread != nullptr;
           thread = thread->next_in_domain) {
        ++threads;
      }
      return answer(call, domain->quota_total - domain->quota, domain->quota_total, threads,
                    domain->slot_count, domain->table_count);
    }
    case abi::InformationKind::kThread: {
      const Thread* thread = find<Thread>(call.domain, call.frame.rdi, 0, status);
      if (thread == nullptr) {
        return status;
      }
      return answer(call, static_cast<std::uint64_t>(thread->state),
                    std::uint64_t{thread->processor != nullptr ? thread->processor->index
                                                               : abi::kAnyProcessor},
                    thread->token >> 32);
    }
  }
  return Status::kBadArgument;
}

}  // namespace nucleus
