#include "guest-kernel/abi/layout.h"
#include "guest-kernel/nucleus/scheduler.h"
#include "guest-kernel/nucleus/system_call.h"
#include "local_apic.h"

namespace nucleus {

using abi::Status;

namespace {

// The arithmetic flags, DF, AC and ID: what a program may set for itself anyway.
constexpr std::uint64_t kSettableFlags = 0x24'0cd5;

bool set_attributes(Thread& thread, std::uint64_t attributes) {
  const std::uint64_t priority = attributes & 0xff;
  const std::uint64_t processor = (attributes >> 8) & 0xff;
  const bool any = processor == abi::kAnyProcessor;
  if (priority >= abi::kPriorities || (any ? !thread.bare : processor >= processor_count)) {
    return false;
  }
  thread.priority = static_cast<std::uint8_t>(priority);
  thread.pinned = any ? nullptr : processors[processor];
  return true;
}

// A thread whose registers are in its frame and stay there.
bool is_stopped(const Thread& thread) {
  return thread.state == ThreadState::kSuspended || thread.state == ThreadState::kFaulted;
}

void suspend(Thread& thread) {
  switch (thread.state) {
    case ThreadState::kReady:
      remove_ready(thread);
      thread.state = ThreadState::kSuspended;
      break;
    case ThreadState::kRunning:
      thread.state = ThreadState::kSuspended;
      evict_current(thread);
      break;
    case ThreadState::kSuspended:
    case ThreadState::kEnded:
      break;
    default:  // blocked: as soon as it would become ready
      thread.suspend_requested = true;
  }
}

Status set_processor(Thread& thread, std::uint64_t argument) {
  const bool any = argument == abi::kAnyProcessor;
  if (any ? !thread.bare : argument >= processor_count) {
    return Status::kBadArgument;
  }
  Processor* target = any ? nullptr : processors[argument];
  if (target == thread.pinned) {
    return Status::kOk;
  }
  if (const Processor* stands = standing_on(thread); stands != nullptr && stands != target) {
    return Status::kBadState;  // it must be suspended, or wait for something
  }
  Processor& self = running_processor();
  recall_user_state(self, thread);
  const bool ready = thread.state == ThreadState::kReady;
  if (ready) {
    remove_ready(thread);
  }
  thread.pinned = target;
  if (ready) {
    make_ready(self, thread);
  }
  return Status::kOk;
}

void set_priority(Thread& thread, std::uint8_t priority) {
  const bool ready = thread.state == ThreadState::kReady;
  if (ready) {
    remove_ready(thread);
  }
  thread.priority = priority;
  if (ready) {
    make_ready(running_processor(), thread);
  } else if (Processor* stands = standing_on(thread)) {
    stands->reschedule = true;
    if (stands != &running_processor()) {
      send_kick(*stands);
    }
  }
}

}  // namespace

Status thread_create(std::uint64_t domain_slot, std::uint64_t to, std::uint64_t rip,
                     std::uint64_t rsp, std::uint64_t argument, std::uint64_t attributes) {
  Domain& caller = calling_domain();
  Status status{};
  Domain* domain = find<Domain>(caller, domain_slot, abi::kRightThreads, status);
  if (domain == nullptr) {
    return status;
  }
  Slot* slot = to != 0 ? find_free_slot(caller, to, status) : nullptr;
  if (slot == nullptr && to != 0) {
    return status;
  }
  if (domain->ended) {
    return Status::kBadState;
  }
  if (rip >= abi::kUserEnd || (attributes >> 17) != 0) {
    return Status::kBadArgument;
  }
  const bool bare = (attributes >> 16) != 0;
  if ((bare && !caller.may_make_bare) || (attributes & 0xff) > caller.highest_priority) {
    return Status::kNoRight;
  }
  Thread* thread = create_thread(&caller, domain, bare);
  if (thread == nullptr) {
    return Status::kNoMemory;
  }
  if (!set_attributes(*thread, attributes)) {
    end_thread(*thread);
    return Status::kBadArgument;
  }
  thread->frame.rip = rip;
  thread->frame.rsp = rsp;
  thread->frame.rdi = argument;
  if (slot != nullptr) {
    fill_slot(*slot, thread, abi::kAllRights, 0);
  }
  make_ready(running_processor(), *thread);
  return Status::kOk;
}

Status thread_control(std::uint64_t thread_slot, std::uint64_t operation, std::uint64_t argument,
                      std::uint64_t, std::uint64_t, std::uint64_t) {
  Status status{};
  Thread* thread = find<Thread>(calling_domain(), thread_slot, abi::kRightControl, status);
  if (thread == nullptr) {
    return status;
  }
  if (thread->state == ThreadState::kEnded) {
    return Status::kBadState;
  }
  switch (static_cast<abi::ThreadOperation>(operation)) {
    case abi::ThreadOperation::kSuspend:
      suspend(*thread);
      return Status::kOk;
    case abi::ThreadOperation::kResume:
      thread->suspend_requested = false;
      if (thread->state == ThreadState::kSuspended) {
        make_ready(running_processor(), *thread);
      }
      return Status::kOk;
    case abi::ThreadOperation::kEnd:
      end_thread(*thread);
      return Status::kOk;
    case abi::ThreadOperation::kSetPriority:
      if (argument >= abi::kPriorities) {
        return Status::kBadArgument;
      }
      if (argument > calling_domain().highest_priority) {
        return Status::kNoRight;
      }
      set_priority(*thread, static_cast<std::uint8_t>(argument));
      return Status::kOk;
    case abi::ThreadOperation::kSetProcessor:
      return set_processor(*thread, argument);
    case abi::ThreadOperation::kCancel:
      return cancel_block(*thread, Status::kWouldBlock) ? Status::kOk : Status::kBadState;
  }
  return Status::kBadArgument;
}

Outcome thread_read(FrameCall& call) {
  Status status{};
  const Thread* thread = find<Thread>(call.domain, call.frame.rdi, abi::kRightControl, status);
  if (thread == nullptr) {
    return status;
  }
  if (!is_stopped(*thread)) {
    return Status::kBadState;
  }
  const Frame& from = thread->frame;
  const auto answer = [&call](std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d,
                              std::uint64_t e, std::uint64_t f) {
    call.frame.rdx = a;
    call.frame.r8 = b;
    call.frame.r9 = c;
    call.frame.r10 = d;
    call.frame.r12 = e;
    call.frame.r13 = f;
    return Outcome(Status::kOk);
  };
  switch (static_cast<abi::RegisterGroup>(call.frame.rsi)) {
    case abi::RegisterGroup::kControl:
      return answer(from.rip, from.rsp, from.rflags, thread->fs_base, thread->gs_base, 0);
    case abi::RegisterGroup::kFirst:
      return answer(from.rax, from.rbx, from.rcx, from.rdx, from.rsi, from.rdi);
    case abi::RegisterGroup::kSecond:
      return answer(from.rbp, from.r8, from.r9, from.r10, from.r11, from.r12);
    case abi::RegisterGroup::kThird:
      return answer(from.r13, from.r14, from.r15, 0, 0, 0);
  }
  return Status::kBadArgument;
}

Outcome thread_write(FrameCall& call) {
  Status status{};
  Thread* thread = find<Thread>(call.domain, call.frame.rdi, abi::kRightControl, status);
  if (thread == nullptr) {
    return status;
  }
  if (!is_stopped(*thread)) {
    return Status::kBadState;
  }
  Frame& to = thread->frame;
  const Frame& words = call.frame;
  switch (static_cast<abi::RegisterGroup>(call.frame.rsi)) {
    case abi::RegisterGroup::kControl:
      // `iretq` to a non-canonical address would fault in ring 0.
      if (words.rdx >= abi::kUserEnd || words.r10 >= abi::kUserEnd || words.r12 >= abi::kUserEnd) {
        return Status::kBadArgument;
      }
      to.rip = words.rdx;
      to.rsp = words.r8;
      to.rflags = kUserFlags | (words.r9 & kSettableFlags);
      if (!thread->bare) {
        recall_user_state(call.processor, *thread);
        set_thread_bases(call.processor, *thread, words.r10, words.r12);
      }
      return Status::kOk;
    case abi::RegisterGroup::kFirst:
      to.rax = words.rdx;
      to.rbx = words.r8;
      to.rcx = words.r9;
      to.rdx = words.r10;
      to.rsi = words.r12;
      to.rdi = words.r13;
      return Status::kOk;
    case abi::RegisterGroup::kSecond:
      to.rbp = words.rdx;
      to.r8 = words.r8;
      to.r9 = words.r9;
      to.r10 = words.r10;
      to.r11 = words.r12;
      to.r12 = words.r13;
      return Status::kOk;
    case abi::RegisterGroup::kThird:
      to.r13 = words.rdx;
      to.r14 = words.r8;
      to.r15 = words.r9;
      return Status::kOk;
  }
  return Status::kBadArgument;
}

Status thread_set_bases(std::uint64_t thread_slot, std::uint64_t fs, std::uint64_t gs,
                        std::uint64_t, std::uint64_t, std::uint64_t) {
  Processor& self = running_processor();
  Status status{};
  Thread* thread = thread_slot == 0
                       ? self.current
                       : find<Thread>(calling_domain(), thread_slot, abi::kRightControl, status);
  if (thread == nullptr) {
    return status;
  }
  if (thread->bare || fs >= abi::kUserEnd || gs >= abi::kUserEnd) {
    return Status::kBadArgument;
  }
  // Another processor may have its old bases loaded: it takes the new ones when it switches to it.
  if (thread != self.current) {
    if (standing_on(*thread) != nullptr) {
      return Status::kBadState;
    }
    recall_user_state(self, *thread);
  }
  set_thread_bases(self, *thread, fs, gs);
  return Status::kOk;
}

Status thread_exit(std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t,
                   std::uint64_t) {
  end_thread(*running_processor().current);
  return Status::kOk;
}

Status yield(std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t,
             std::uint64_t) {
  yield_current(running_processor());
  return Status::kOk;
}

}  // namespace nucleus
