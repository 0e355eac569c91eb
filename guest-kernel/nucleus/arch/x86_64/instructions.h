#pragma once

#include <cstdint>

namespace nucleus {

inline constexpr std::uint32_t kMsrEfer = 0xc000'0080;
inline constexpr std::uint32_t kMsrStar = 0xc000'0081;
inline constexpr std::uint32_t kMsrLstar = 0xc000'0082;
inline constexpr std::uint32_t kMsrSyscallMask = 0xc000'0084;
inline constexpr std::uint32_t kMsrFsBase = 0xc000'0100;
inline constexpr std::uint32_t kMsrGsBase = 0xc000'0101;
inline constexpr std::uint32_t kMsrKernelGsBase = 0xc000'0102;
inline constexpr std::uint32_t kMsrApicBase = 0x1b;
inline constexpr std::uint32_t kMsrTscDeadline = 0x6e0;

inline std::uint64_t read_msr(std::uint32_t index) {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
  return (std::uint64_t{high} << 32) | low;
}

inline void write_msr(std::uint32_t index, std::uint64_t value) {
  asm volatile("wrmsr" ::"c"(index), "a"(static_cast<std::uint32_t>(value)),
               "d"(static_cast<std::uint32_t>(value >> 32))
               : "memory");
}

inline std::uint64_t read_tsc() {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  asm volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
  return (std::uint64_t{high} << 32) | low;
}

struct CpuidResult {
  std::uint32_t eax, ebx, ecx, edx;
};

inline CpuidResult cpuid(std::uint32_t leaf, std::uint32_t subleaf = 0) {
  CpuidResult result{};
  asm volatile("cpuid"
               : "=a"(result.eax), "=b"(result.ebx), "=c"(result.ecx), "=d"(result.edx)
               : "a"(leaf), "c"(subleaf));
  return result;
}

// Whether any of `count` words at `words` is not zero. A repeated string instruction, here and
// below: where ring 0 is interpreted, a repetition costs a fraction of an instruction.
inline bool any_nonzero(const std::uint64_t* words, std::uint64_t count) {
  bool differs = false;
  // ZF is set before, for a count of zero leaves the flags alone.
  asm volatile("cmp %%rax, %%rax; repe scasq"
               : "+D"(words), "+c"(count), "=@ccnz"(differs)
               : "a"(std::uint64_t{0})
               : "memory");
  return differs;
}

inline void clear_words(std::uint64_t* words, std::uint64_t count) {
  asm volatile("rep stosq" : "+D"(words), "+c"(count) : "a"(std::uint64_t{0}) : "memory");
}

inline void write_cr3(std::uint64_t value) {
  asm volatile("mov %0, %%cr3" ::"r"(value) : "memory");
}

inline std::uint64_t read_cr2() {
  std::uint64_t value = 0;
  asm volatile("mov %%cr2, %0" : "=r"(value));
  return value;
}

inline std::uint64_t read_cr3() {
  std::uint64_t value = 0;
  asm volatile("mov %%cr3, %0" : "=r"(value));
  return value;
}

inline std::uint64_t read_cr4() {
  std::uint64_t value = 0;
  asm volatile("mov %%cr4, %0" : "=r"(value));
  return value;
}

inline void write_cr4(std::uint64_t value) {
  asm volatile("mov %0, %%cr4" ::"r"(value) : "memory");
}

inline void invalidate_page(std::uint64_t address) {
  asm volatile("invlpg (%0)" ::"r"(address) : "memory");
}

inline void pause() {
  asm volatile("pause" ::: "memory");
}

inline std::uint32_t port_read(std::uint16_t port, unsigned width) {
  std::uint32_t value = 0;
  switch (width) {
    case 1: {
      std::uint8_t byte = 0;
      asm volatile("inb %1, %0" : "=a"(byte) : "d"(port));
      value = byte;
      break;
    }
    case 2: {
      std::uint16_t word = 0;
      asm volatile("inw %1, %0" : "=a"(word) : "d"(port));
      value = word;
      break;
    }
    default:
      asm volatile("inl %1, %0" : "=a"(value) : "d"(port));
  }
  return value;
}

inline void port_write(std::uint16_t port, unsigned width, std::uint32_t value) {
  switch (width) {
    case 1:
      asm volatile("outb %0, %1" ::"a"(static_cast<std::uint8_t>(value)), "d"(port));
      break;
    case 2:
      asm volatile("outw %0, %1" ::"a"(static_cast<std::uint16_t>(value)), "d"(port));
      break;
    default:
      asm volatile("outl %0, %1" ::"a"(value), "d"(port));
  }
}

// The index of the highest bit set; `value` is not 0. (`lzcnt` needs a CPUID check, `bsr` does
// not.)
inline unsigned highest_bit(std::uint32_t value) {
  std::uint32_t index = 0;
  asm("bsr %1, %0" : "=r"(index) : "r"(value) : "cc");
  return index;
}

}  // namespace nucleus
