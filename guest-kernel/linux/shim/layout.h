#pragma once

#include <cstdint>

#include "guest-kernel/abi/layout.h"

// Where things lie in a Linux process, and what its shim and the server keep in its pages. The shim
// trusts these pages; what the server reads back it takes as a wish of the process's.
namespace shim {

// The shim's code: read and execute. Behind it lies the vDSO, one page, which is the application's
// code.
inline constexpr std::uint64_t kCode = 0x3fff'f000'0000;
inline constexpr std::uint64_t kCodeSize = 0x4000;
inline constexpr std::uint64_t kVdso = kCode + kCodeSize;

// The process block: one run of writable pages that holds from its top down the process page (with
// the handler's address at its start), the first thread's page, a spare range and the first part of
// the stack. A large one is for programs with long arguments.
inline constexpr std::uint64_t kBlockSize = 0x14000;
inline constexpr std::uint64_t kLargeBlockSize = abi::kLargePageSize;
inline constexpr std::uint64_t kProcessPage = abi::kForeignHandler;
inline constexpr std::uint64_t kThreadPage = kProcessPage - abi::kPageSize;
inline constexpr std::uint64_t kBlockPages =
    0x4000;  // bytes at the block's end that are the shim's
inline constexpr std::uint64_t kStackTop = abi::kSharedStart - kBlockPages;
inline constexpr std::uint64_t kStackSize = 8 * 1024 * 1024;

// The process's capability slots.
inline constexpr std::uint64_t kServerPort = 2;

// Pages of further threads, one each.
inline constexpr std::uint64_t kThreadPages = kCode + 0x10'0000;
inline constexpr std::uint64_t kMaximumThreadPages = 4096;

// Behind them, bytes of a file that the process is about to read.
inline constexpr std::uint64_t kReadAheadBuffer =
    kThreadPages + kMaximumThreadPages * abi::kPageSize;
inline constexpr std::uint64_t kReadAheadSize = 128 * 1024;

// As many domains of Linux programs there may be.
inline constexpr std::uint64_t kMaximumProcessMemories = 1024;

// Calls of the shim's own to the server, beyond Linux's numbers.
enum OwnCall : std::uint64_t {
  // → 0: nothing to deliver; else a signal with a handler to call: m0 its number, m1 the handler,
  // m2 the flags, m3 the restorer, m4 the mask of its action. What it tells is in `signal_info`.
  kTakeSignal = 510,
  // The frame for a handler does not fit the stack.
  kNoStack = 511,
};

// Results that a program never sees: its call was interrupted by a signal, and is made again unless
// a handler runs, or runs without SA_RESTART …
inline constexpr std::int64_t kRestart = -512;
// … or runs at all.
inline constexpr std::int64_t kRestartUnlessHandled = -514;

// What the shim knows of a descriptor: calls that nobody but the caller notices.
enum DescriptorKind : std::uint8_t {
  kReadsNothing = 1,  // /dev/null
  kReadsZeroes = 2,
  kSwallows = 4,     // what is written goes nowhere
  kIsReadAhead = 8,  // ProcessPage::read_ahead may be about it
};

// Of as many descriptors.
inline constexpr std::uint64_t kKnownDescriptors = 1024;

// How far a process has come in its read-ahead buffer. The shim takes bytes by moving the position
// with a compare-and-swap after it has copied them; the server ends it by an exchange with 0.
struct ReadAheadState {
  static constexpr unsigned kSizeBits = 20;
  static constexpr unsigned kDescriptorBits = 10;
  static constexpr std::uint64_t kSizeMask = (1 << kSizeBits) - 1;
  static constexpr std::uint64_t kDescriptorMask = kKnownDescriptors - 1;

  constexpr ReadAheadState(std::uint64_t position_, std::uint64_t end_, std::uint64_t descriptor_,
                           std::uint64_t generation_)
      : position(position_), end(end_), descriptor(descriptor_), generation(generation_) {}
  constexpr explicit ReadAheadState(std::uint64_t word)
      : position(word & kSizeMask),
        end(word >> kSizeBits & kSizeMask),
        descriptor(word >> 2 * kSizeBits & kDescriptorMask),
        generation(word >> (2 * kSizeBits + kDescriptorBits)) {}
  constexpr std::uint64_t word() const {
    return position | end << kSizeBits | descriptor << 2 * kSizeBits |
           generation << (2 * kSizeBits + kDescriptorBits);
  }

  std::uint64_t position;    // of the next byte in the buffer; the word's low bits
  std::uint64_t end;         // of the bytes in the buffer
  std::uint64_t descriptor;  // through which they are read
  std::uint64_t generation;  // of the buffer's contents
};
static_assert(kReadAheadSize <= ReadAheadState::kSizeMask);

// The first of a process's pages. The server writes it; what it reads back harms nobody else.
struct ProcessPage {
  std::uint64_t handler;  // at abi::kForeignHandler
  std::uint32_t reserved;
  std::uint32_t has_own_limits;  // the server has to be asked for them
  char system_name[6][65];       // struct new_utsname
  // The heap: the shim moves the break up to the limit by itself, and tells the server where it is
  // when it asks for more.
  std::uint64_t heap_end;
  std::uint64_t heap_limit;
  std::uint32_t has_rdrand;
  std::uint32_t vector_size;  // of XSAVE's area; 0: FXSAVE
  std::uint32_t reserved2;
  std::uint32_t executable_size;
  char executable[512];      // what /proc/self/exe leads to; empty: too long
  std::uint64_t read_ahead;  // ReadAheadState::word(); 0: there is none
  // Of each descriptor, which of DescriptorKind hold; nothing: the server knows.
  std::uint8_t descriptor_kinds[kKnownDescriptors];
};
static_assert(sizeof(ProcessPage) <= abi::kPageSize);

// An application's registers while the shim runs, at the top of its thread's page. entry.S pushes
// it.
struct Frame {
  std::uint64_t number;  // rax: the call's number, then its result
  std::uint64_t arguments[6];
  std::uint64_t rbx, rbp, r12, r13, r14, r15;
  std::uint64_t rcx, r11;
  std::uint64_t instruction, flags, stack;
};
static_assert(sizeof(Frame) == 0x90);

// At the thread's GS base; its stack for calls is the rest of the page. entry.S knows the offsets
// of the first eight.
struct ThreadPage {
  std::uint64_t stack_top;    // 0x00
  std::uint64_t user_stack;   // 0x08: rsp during a call
  std::uint64_t signal_mask;  // 0x10
  std::uint64_t pending;      // 0x18: signals that wait for this thread, blocked or not
  // Where the server stopped the thread for a signal.
  std::uint64_t interrupted_instruction;  // 0x20
  std::uint64_t interrupted_stack;        // 0x28
  std::uint64_t interrupted_flags;        // 0x30
  std::uint64_t resume;                   // 0x38: where the application goes on
  std::uint64_t task;                     // the server's name for the thread; goes with each call
  std::uint64_t fs_base;
  std::uint32_t thread_id;
  std::uint32_t process_id;
  std::uint32_t parent_id;
  std::uint32_t has_saved_mask;
  std::uint64_t descriptor_kinds;  // address of the process's; 0: they are another's (vfork)
  std::uint64_t saved_mask;        // of sigsuspend(2) and its kin: what a handler goes back to
  std::uint64_t clear_thread_id;   // set_tid_address
  std::uint64_t robust_list;
  std::uint64_t alternate_stack, alternate_stack_size;
  std::uint32_t alternate_stack_flags;
  std::uint32_t has_vectors;  // `vectors` are to be loaded when the thread starts
  // Of the last exception, for a handler's context.
  std::uint64_t exception_vector, exception_error, exception_address;
  std::uint64_t signal_info[16];  // siginfo_t
  alignas(64) std::uint8_t vectors[512];
};

// Where a thread's Frame is while it is in the shim.
inline constexpr std::uint64_t kFrameOffset = abi::kPageSize - sizeof(Frame);

// The start of the shim's code.
struct CodeHeader {
  std::uint64_t handler;  // address that goes into ProcessPage
  std::uint64_t start;    // a thread's entry, rdi = its ThreadPage, rsp = its Frame
  std::uint64_t
      interrupted;  // where a thread goes on that was stopped for a signal, rsp = stack_top
  std::uint64_t copy_begin;  // a fault with rip in [copy_begin, copy_end) …
  std::uint64_t copy_end;
  std::uint64_t copy_fixup;  // … goes on here: the access fails
  // The way out. A thread that is stopped in [exit_begin, exit_jump) goes back to exit_begin with
  // rsp = its Frame, and then sees what is new. At exit_jump all registers but rip are the
  // application's, and ThreadPage::resume is its rip.
  std::uint64_t exit_begin;
  std::uint64_t exit_jump;
  std::uint64_t exit_end;
};

}  // namespace shim
