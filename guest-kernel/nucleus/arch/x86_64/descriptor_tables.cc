#include "descriptor_tables.h"

#include <cstdint>

#include "local_apic.h"
#include "processor.h"

extern "C" char vector_stubs[];  // entry.S: 16 bytes per vector

namespace nucleus {
namespace {

struct Gate {
  std::uint64_t low;
  std::uint64_t high;
};
Gate interrupt_table[kVectorCount];

struct [[gnu::packed]] TablePointer {
  std::uint16_t limit;
  const void* base;
};

constexpr unsigned kBreakpoint = 3;
constexpr std::uint64_t kInterruptGate = 0x8e00'0000'0000;
constexpr std::uint64_t kUserMayEnter = 0x6000'0000'0000;

void set_gate(unsigned vector, const char* handler, std::uint64_t flags) {
  const auto address = reinterpret_cast<std::uint64_t>(handler);
  interrupt_table[vector].low =
      (address & 0xffff) | (kKernelCodeSelector << 16) | flags | ((address & 0xffff'0000) << 32);
  interrupt_table[vector].high = address >> 32;
}

}  // namespace

void initialize_interrupt_table() {
  // The stubs lie 16 bytes apart within 64 KiB (entry.S), so one gate leads to the next.
  set_gate(0, vector_stubs, kInterruptGate);
  Gate gate = interrupt_table[0];
  for (Gate& entry : interrupt_table) {
    entry = gate;
    gate.low += 16;
  }
  set_breakpoint_gate(nullptr);
}

void set_breakpoint_gate(const char* handler) {
  set_gate(kBreakpoint, handler != nullptr ? handler : vector_stubs + 16 * kBreakpoint,
           kInterruptGate | kUserMayEnter);
}

void load_descriptor_tables(Processor& processor) {
  const auto task_state = reinterpret_cast<std::uint64_t>(&processor.task_state);
  processor.task_state.io_map_base = sizeof(TaskState);
  std::uint64_t* descriptors = processor.descriptors;
  // For Processor::gate_frame; processors never look at the first one.
  descriptors[0] = reinterpret_cast<std::uint64_t>(&processor);
  descriptors[1] = 0x00af'9b00'0000'ffff;  // kernel code
  descriptors[2] = 0x00cf'9300'0000'ffff;  // kernel data
  descriptors[3] = 0x00cf'f300'0000'ffff;  // user data
  descriptors[4] = 0x00af'fb00'0000'ffff;  // user code
  descriptors[5] = (sizeof(TaskState) - 1) | ((task_state & 0xff'ffff) << 16) |
                   (std::uint64_t{0x89} << 40) | ((task_state >> 24 & 0xff) << 56);
  descriptors[6] = task_state >> 32;
  const TablePointer segments{sizeof(processor.descriptors) - 1, descriptors};
  const TablePointer interrupts{sizeof(interrupt_table) - 1, interrupt_table};
  asm volatile("lgdt %0" ::"m"(segments));
  asm volatile("lidt %0" ::"m"(interrupts));
  asm volatile("ltr %w0" ::"r"(static_cast<std::uint16_t>(kTaskStateSelector)));
}

void unload_interrupt_table() {
  const TablePointer nothing{0, nullptr};
  asm volatile("lidt %0" ::"m"(nothing));
}

}  // namespace nucleus
