#pragma once

#include <cstdint>

namespace nucleus {

// A thread's general registers while it is not running, in the order in which entry.S pushes them.
// The processor pushes rip … ss itself, at TSS.RSP0, which always points just past the running
// thread's frame: entering the kernel stores the thread's state where it belongs, with no copying.
struct Frame {
  std::uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
  std::uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
  std::uint64_t vector, error_code;
  std::uint64_t rip, cs, rflags, rsp, ss;
};
// In 64-bit mode the processor aligns the stack to 16 bytes before it pushes.
static_assert(sizeof(Frame) % 16 == 0);

inline constexpr std::uint64_t kKernelCodeSelector = 0x08;
inline constexpr std::uint64_t kKernelDataSelector = 0x10;
inline constexpr std::uint64_t kUserDataSelector = 0x1b;
inline constexpr std::uint64_t kUserCodeSelector = 0x23;
inline constexpr std::uint64_t kTaskStateSelector = 0x28;
inline constexpr std::uint64_t kUserFlags = 0x202;  // IF and the bit that is always one

}  // namespace nucleus
