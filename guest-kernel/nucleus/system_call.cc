#include "guest-kernel/nucleus/system_call.h"

#include "guest-kernel/nucleus/kernel_lock.h"
#include "guest-kernel/nucleus/scheduler.h"

namespace nucleus {
namespace {

using Handler = Outcome (*)(FrameCall&);

Handler frame_handler(abi::SystemCall number) {
  switch (number) {
    case abi::SystemCall::kCall:
      return call;
    case abi::SystemCall::kReplyWait:
      return reply_wait;
    case abi::SystemCall::kReply:
      return reply_only;
    case abi::SystemCall::kPoll:
      return poll;
    case abi::SystemCall::kThreadRead:
      return thread_read;
    case abi::SystemCall::kThreadWrite:
      return thread_write;
    case abi::SystemCall::kProcessorStart:
      return processor_start;
    case abi::SystemCall::kPortAccess:
      return port_access;
    case abi::SystemCall::kInformation:
      return information;
    default:
      return nullptr;
  }
}

}  // namespace

// In the order of abi::SystemCall; null: a frame call.
extern "C" constexpr RegisterCall register_calls[] = {
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    signal,
    capability_copy,
    capability_delete,
    domain_create,
    domain_set_fault_port,
    domain_end,
    thread_create,
    thread_control,
    nullptr,
    nullptr,
    thread_set_bases,
    thread_exit,
    yield,
    port_create,
    timer_create,
    timer_arm,
    region_carve,
    map,
    unmap,
    protect,
    interrupt_create,
    interrupt_acknowledge,
    nullptr,
    nullptr,
    nullptr,
};
static_assert(sizeof(register_calls) / sizeof(RegisterCall) ==
              static_cast<unsigned>(abi::SystemCall::kCount));

const Slot* check_slot(const Domain& domain, std::uint64_t number, ObjectType type,
                       std::uint64_t rights, abi::Status& status) {
  if (number >= domain.slot_count || domain.slots[number].type() != type) {
    status = abi::Status::kBadCapability;
    return nullptr;
  }
  if ((domain.slots[number].rights() & rights) != rights) {
    status = abi::Status::kNoRight;
    return nullptr;
  }
  return &domain.slots[number];
}

Slot* find_free_slot(Domain& domain, std::uint64_t number, abi::Status& status) {
  Slot* found = domain.slot(number);
  if (found == nullptr || number == 0) {
    status = abi::Status::kBadCapability;
    return nullptr;
  }
  if (!found->empty()) {
    status = abi::Status::kSlotInUse;
    return nullptr;
  }
  return found;
}

abi::Status deliver(Slot& slot, Object* object) {
  if (object == nullptr) {
    return abi::Status::kNoMemory;
  }
  fill_slot(slot, object, abi::kAllRights, 0);
  return abi::Status::kOk;
}

namespace {

// A register call that had to wait for the lock, so that its words are in the frame.
Outcome call_with_frame(RegisterCall handler, const Frame& frame) {
  return handler(frame.rdi, frame.rsi, frame.rdx, frame.r8, frame.r9, frame.r10);
}

Outcome carry_out(FrameCall& call) {
  const std::uint64_t number = call.frame.rax;
  if (number < sizeof(register_calls) / sizeof(RegisterCall) && register_calls[number] != nullptr) {
    return call_with_frame(register_calls[number], call.frame);
  }
  const Handler handler = frame_handler(static_cast<abi::SystemCall>(number));
  return handler != nullptr ? handler(call) : Outcome(abi::Status::kNoSuchCall);
}

}  // namespace

// From entry.S: a frame call, a register call that found the lock taken, or no call at all. Returns
// who runs next.
extern "C" Thread* frame_call_entry(Thread* thread) {
  Processor& processor = *thread->processor;
  Frame& frame = thread->frame;
  if (__atomic_exchange_n(&kernel_lock_word, 1, __ATOMIC_ACQUIRE) != 0) {
    // Whoever holds the lock may suspend or end this thread, read and change its registers. The
    // call has not begun: it starts over when the thread goes on.
    frame.rip = abi::kSystemCallEntry;
    frame.rcx = frame.r11 = frame.rbp = frame.r15 = 0;
    acquire_kernel_lock(processor);
  }
  ++processor.system_calls;
  if (thread->state == ThreadState::kRunning) {
    frame.rip = kSystemCallReturn;
    FrameCall call{processor, *thread, *thread->domain, frame};
    const Outcome outcome = carry_out(call);
    if (!outcome.done && thread->state != ThreadState::kEnded) {
      complete_system_call(*thread, outcome.status);
      frame.rbx = 0;
      frame.rdi = 0;
    }
  }
  Thread* next = schedule(processor);
  release_kernel_lock();
  return next;
}

// From entry.S, under the lock: a register call has been carried out, and something else may have
// to run now.
extern "C" Thread* register_call_reschedule(Thread* thread, abi::Status status) {
  if (thread->state != ThreadState::kEnded) {
    complete_system_call(*thread, status);
    thread->frame.rbx = 0;
    thread->frame.rdi = 0;
  }
  Thread* next = schedule(running_processor());
  release_kernel_lock();
  return next;
}

}  // namespace nucleus
