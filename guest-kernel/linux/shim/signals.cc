#include <asm/unistd.h>

#include <algorithm>

#include "guest-kernel/lib/system_call.h"
#include "guest-kernel/linux/shim/shim.h"

// Signals as the application sees them: masks, handlers' frames, and the way back. The layouts are
// those of asm/ucontext.h and asm/sigcontext.h.
namespace shim {
namespace {

constexpr std::uint64_t kUnmaskable = std::uint64_t{1} << (9 - 1) | std::uint64_t{1} << (19 - 1);
constexpr std::uint64_t kSetSize = sizeof(std::uint64_t);

// SA_…
constexpr std::uint64_t kOnStack = 0x0800'0000;
constexpr std::uint64_t kRestartCalls = 0x1000'0000;
constexpr std::uint64_t kNoDefer = 0x4000'0000;

// SS_…
constexpr std::uint32_t kStackInUse = 1;
constexpr std::uint32_t kStackDisabled = 2;
constexpr std::uint32_t kStackAutoDisarm = 1u << 31;
constexpr std::uint64_t kLeastStack = 2048;

struct AlternateStack {
  std::uint64_t address;
  std::uint32_t flags;
  std::uint32_t padding;
  std::uint64_t size;
};

struct SignalContext {
  std::uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
  std::uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, flags;
  std::uint16_t cs, gs, fs, ss;
  std::uint64_t error, vector, old_mask, address;
  std::uint64_t vectors;  // pointer
  std::uint64_t reserved[8];
};

struct UserContext {
  std::uint64_t flags;
  std::uint64_t link;
  AlternateStack stack;
  SignalContext registers;
  std::uint64_t mask;
};

struct HandlerFrame {
  std::uint64_t return_address;
  UserContext context;
  std::uint64_t info[16];
};
static_assert(sizeof(SignalContext) == 256 && sizeof(UserContext) == 304);

// What the program may set in its flags: the arithmetic ones, TF, DF, AC.
constexpr std::uint64_t kSettableFlags = 0x4'0dd5;
constexpr std::uint64_t kFixedFlags = 0x202;

constexpr std::uint64_t kRedZone = 128;
constexpr std::uint64_t kLegacyVectors = 512;

bool on_alternate_stack(const ThreadPage& thread, std::uint64_t stack) {
  return thread.alternate_stack_size != 0 && stack > thread.alternate_stack &&
         stack - thread.alternate_stack <= thread.alternate_stack_size;
}

AlternateStack describe_alternate_stack(const ThreadPage& thread, std::uint64_t stack) {
  if (thread.alternate_stack_size == 0) {
    return {0, kStackDisabled, 0, 0};
  }
  return {thread.alternate_stack,
          thread.alternate_stack_flags |
              (on_alternate_stack(thread, stack) ? kStackInUse : std::uint32_t{0}),
          0, thread.alternate_stack_size};
}

void save_registers(const Frame& from, const ThreadPage& thread, SignalContext& to) {
  to.r8 = from.arguments[4];
  to.r9 = from.arguments[5];
  to.r10 = from.arguments[3];
  to.r11 = from.r11;
  to.r12 = from.r12;
  to.r13 = from.r13;
  to.r14 = from.r14;
  to.r15 = from.r15;
  to.rdi = from.arguments[0];
  to.rsi = from.arguments[1];
  to.rbp = from.rbp;
  to.rbx = from.rbx;
  to.rdx = from.arguments[2];
  to.rax = from.number;
  to.rcx = from.rcx;
  to.rsp = from.stack;
  to.rip = from.instruction;
  to.flags = from.flags;
  to.cs = 0x33;  // what Linux shows
  to.ss = 0x2b;
  to.error = thread.exception_error;
  to.vector = thread.exception_vector;
  to.address = thread.exception_address;
}

void load_registers(const SignalContext& from, Frame& to) {
  to.arguments[4] = from.r8;
  to.arguments[5] = from.r9;
  to.arguments[3] = from.r10;
  to.r11 = from.r11;
  to.r12 = from.r12;
  to.r13 = from.r13;
  to.r14 = from.r14;
  to.r15 = from.r15;
  to.arguments[0] = from.rdi;
  to.arguments[1] = from.rsi;
  to.rbp = from.rbp;
  to.rbx = from.rbx;
  to.arguments[2] = from.rdx;
  to.number = from.rax;
  to.rcx = from.rcx;
  to.stack = from.rsp;
  to.instruction = from.rip;
  to.flags = (from.flags & kSettableFlags) | kFixedFlags;
}

struct TakenSignal {
  std::uint64_t number, handler, flags, restorer, mask;
};

TakenSignal take_signal(const ThreadPage& thread) {
  guest::Message message{{kTakeSignal, 0, 0, 0, 0, 0, 0, thread.task}};
  if (guest::call(kServerPort, message) != guest::Status::kOk) {
    return {};
  }
  return {message[0], message[1], message[2], message[3], message[4]};
}

// Writes the handler's frame below `top`; returns its address, or 0 where the stack does not take
// it.
std::uint64_t write_frame(const Frame& frame, ThreadPage& thread, const TakenSignal& signal,
                          std::uint64_t top, std::uint64_t old_mask) {
  const std::uint64_t vector_size = process_page().vector_size;
  const std::uint64_t size = vector_size == 0 ? kLegacyVectors : vector_size;
  const std::uint64_t vectors = (top - size) & ~std::uint64_t{63};
  const std::uint64_t address = ((vectors - sizeof(HandlerFrame)) & ~std::uint64_t{15}) - 8;
  HandlerFrame built = {};
  built.return_address = signal.restorer;
  built.context.stack = describe_alternate_stack(thread, frame.stack);
  save_registers(frame, thread, built.context.registers);
  built.context.registers.vectors = vectors;
  built.context.registers.old_mask = old_mask;
  built.context.mask = old_mask;
  std::copy(std::begin(thread.signal_info), std::end(thread.signal_info), built.info);
  if (vector_size != 0) {
    // XRSTOR wants a header that holds nothing else.
    constexpr std::uint64_t kHeader[8] = {};
    if (!shim_copy(reinterpret_cast<void*>(vectors + kLegacyVectors), kHeader, sizeof(kHeader))) {
      return 0;
    }
  }
  return shim_save_vectors(reinterpret_cast<void*>(vectors), vector_size) &&
                 shim_copy(reinterpret_cast<void*>(address), &built, sizeof(built))
             ? address
             : 0;
}

void enter_handler(Frame& frame, ThreadPage& thread, const TakenSignal& signal) {
  std::uint64_t top = frame.stack - kRedZone;
  if ((signal.flags & kOnStack) != 0 && thread.alternate_stack_size != 0 &&
      !on_alternate_stack(thread, frame.stack)) {
    top = thread.alternate_stack + thread.alternate_stack_size;
  }
  std::uint64_t old_mask = thread.signal_mask;
  if (thread.has_saved_mask != 0) {
    old_mask = thread.saved_mask;
    thread.has_saved_mask = 0;
  }
  const std::uint64_t address = write_frame(frame, thread, signal, top, old_mask);
  if (address == 0) {
    guest::Message message{{kNoStack, signal.number, 0, 0, 0, 0, 0, thread.task}};
    guest::call(kServerPort, message);  // does not come back
    return;
  }
  if ((thread.alternate_stack_flags & kStackAutoDisarm) != 0) {
    thread.alternate_stack_size = 0;
  }
  thread.signal_mask |= signal.mask & ~kUnmaskable;
  if ((signal.flags & kNoDefer) == 0) {
    thread.signal_mask |= std::uint64_t{1} << (signal.number - 1);
  }
  frame.arguments[0] = signal.number;
  frame.arguments[1] = address + offsetof(HandlerFrame, info);
  frame.arguments[2] = address + offsetof(HandlerFrame, context);
  frame.number = 0;
  frame.stack = address;
  frame.instruction = signal.handler;
  frame.flags = kFixedFlags;
}

}  // namespace

bool deliver_signals(Frame& frame, std::uint64_t number) {
  constexpr std::uint64_t kCallInstruction = 2;  // bytes
  ThreadPage& thread = thread_page();
  bool handled = false;
  while ((thread.pending & ~thread.signal_mask) != 0) {
    const TakenSignal signal = take_signal(thread);
    if (signal.number == 0) {
      continue;  // `pending` says what is left
    }
    if (!handled && number != kNoCall) {
      const bool restarts = (signal.flags & kRestartCalls) != 0 &&
                            static_cast<std::int64_t>(frame.number) == kRestart;
      frame.instruction -= restarts ? kCallInstruction : 0;
      frame.number = restarts ? number : static_cast<std::uint64_t>(-EINTR);
    }
    handled = true;
    enter_handler(frame, thread, signal);
  }
  return handled;
}

extern "C" void shim_deliver(Frame* frame) {
  deliver_signals(*frame, kNoCall);
}

std::int64_t change_signal_mask(const Frame& frame) {
  ThreadPage& thread = thread_page();
  const std::uint64_t old_mask = thread.signal_mask;
  if (frame.arguments[3] != kSetSize) {
    return -EINVAL;
  }
  if (frame.arguments[1] != 0) {
    std::uint64_t set = 0;
    if (!shim_copy(&set, reinterpret_cast<const void*>(frame.arguments[1]), sizeof(set))) {
      return -EFAULT;
    }
    switch (static_cast<int>(frame.arguments[0])) {
      case 0:  // SIG_BLOCK
        set |= old_mask;
        break;
      case 1:  // SIG_UNBLOCK
        set = old_mask & ~set;
        break;
      case 2:  // SIG_SETMASK
        break;
      default:
        return -EINVAL;
    }
    thread.signal_mask = set & ~kUnmaskable;
  }
  return frame.arguments[2] != 0 ? give(frame.arguments[2], old_mask) : 0;
}

std::int64_t set_alternate_stack(const Frame& frame) {
  ThreadPage& thread = thread_page();
  const AlternateStack old = describe_alternate_stack(thread, frame.stack);
  if (frame.arguments[0] != 0) {
    AlternateStack wanted = {};
    if (!shim_copy(&wanted, reinterpret_cast<const void*>(frame.arguments[0]), sizeof(wanted))) {
      return -EFAULT;
    }
    if (on_alternate_stack(thread, frame.stack)) {
      return -EPERM;
    }
    const std::uint32_t mode = wanted.flags & ~kStackAutoDisarm;
    if (mode != 0 && mode != kStackDisabled && mode != kStackInUse) {
      return -EINVAL;
    }
    if (mode == kStackDisabled) {
      thread.alternate_stack = thread.alternate_stack_size = 0;
      thread.alternate_stack_flags = 0;
    } else if (wanted.size < kLeastStack) {
      return -ENOMEM;
    } else {
      thread.alternate_stack = wanted.address;
      thread.alternate_stack_size = wanted.size;
      thread.alternate_stack_flags = wanted.flags & kStackAutoDisarm;
    }
  }
  return frame.arguments[1] != 0 ? give(frame.arguments[1], old) : 0;
}

std::int64_t return_from_signal(Frame& frame) {
  ThreadPage& thread = thread_page();
  UserContext context = {};
  // The handler's `ret` has taken the return address off.
  if (!shim_copy(&context, reinterpret_cast<const void*>(frame.stack), sizeof(context)) ||
      (context.registers.vectors != 0 &&
       !shim_load_vectors(reinterpret_cast<const void*>(context.registers.vectors),
                          process_page().vector_size))) {
    guest::Message message{{kNoStack, 0, 0, 0, 0, 0, 0, thread.task}};
    guest::call(kServerPort, message);  // does not come back
    return 0;
  }
  load_registers(context.registers, frame);
  thread.signal_mask = context.mask & ~kUnmaskable;
  if (!on_alternate_stack(thread, frame.stack) && (context.stack.flags & kStackDisabled) == 0) {
    thread.alternate_stack = context.stack.address;
    thread.alternate_stack_size = context.stack.size;
    thread.alternate_stack_flags = context.stack.flags & kStackAutoDisarm;
  }
  return static_cast<std::int64_t>(frame.number);
}

std::int64_t wait_with_mask(const Frame& frame) {
  ThreadPage& thread = thread_page();
  std::uint64_t set = 0;
  std::uint64_t size = 0;
  switch (frame.number) {
    case __NR_rt_sigsuspend:
      set = frame.arguments[0];
      size = frame.arguments[1];
      if (size != kSetSize) {
        return -EINVAL;
      }
      break;
    case __NR_ppoll:
      set = frame.arguments[3];
      size = frame.arguments[4];
      break;
    case __NR_pselect6: {
      std::uint64_t pair[2] = {};
      if (frame.arguments[5] != 0 &&
          !shim_copy(pair, reinterpret_cast<const void*>(frame.arguments[5]), sizeof(pair))) {
        return -EFAULT;
      }
      set = pair[0];
      size = pair[1];
      break;
    }
    default:
      set = frame.arguments[4];
      size = frame.arguments[5];
      break;
  }
  if (set != 0) {
    std::uint64_t mask = 0;
    if (size != kSetSize) {
      return -EINVAL;
    }
    if (!shim_copy(&mask, reinterpret_cast<const void*>(set), sizeof(mask))) {
      return -EFAULT;
    }
    thread.saved_mask = thread.signal_mask;
    thread.has_saved_mask = 1;
    thread.signal_mask = mask & ~kUnmaskable;
  } else if (frame.number == __NR_rt_sigsuspend) {
    return -EFAULT;
  }
  return forward(frame);
}

}  // namespace shim
