#include "local_apic.h"

#include "guest-kernel/nucleus/kernel_memory.h"
#include "instructions.h"
#include "processor.h"

namespace nucleus {
namespace {

// Register offsets in the memory-mapped page (Intel SDM vol. 3, 11.4.1); an x2APIC register is MSR
// 0x800 + offset / 16.
enum Register : std::uint32_t {
  kId = 0x20,
  kTaskPriority = 0x80,
  kEndOfInterrupt = 0xb0,
  kSpurious = 0xf0,
  kCommandLow = 0x300,
  kCommandHigh = 0x310,
  kTimer = 0x320,
  kLint0 = 0x350,
  kLint1 = 0x360,
  kTimerInitialCount = 0x380,
  kTimerDivide = 0x3e0,
};
constexpr std::uint32_t kMasked = 1u << 16;
constexpr std::uint32_t kTscDeadlineMode = 2u << 17;
constexpr std::uint64_t kLocalApicAddress = 0xfee0'0000;
constexpr std::uint64_t kIoApicAddress = 0xfec0'0000;

bool x2apic;
bool tsc_deadline;

volatile std::uint32_t* memory_register(std::uint64_t address) {
  return physical_pointer<volatile std::uint32_t>(address);
}

std::uint32_t read_register(Register number) {
  return x2apic ? static_cast<std::uint32_t>(read_msr(0x800 + number / 16))
                : *memory_register(kLocalApicAddress + number);
}

void write_register(Register number, std::uint32_t value) {
  if (x2apic) {
    write_msr(0x800 + number / 16, value);
  } else {
    *memory_register(kLocalApicAddress + number) = value;
  }
}

void send_command(std::uint32_t apic_id, std::uint32_t command) {
  if (x2apic) {
    write_msr(0x800 + kCommandLow / 16, (std::uint64_t{apic_id} << 32) | command);
    return;
  }
  *memory_register(kLocalApicAddress + kCommandHigh) = apic_id << 24;
  *memory_register(kLocalApicAddress + kCommandLow) = command;
}

void write_io_apic(std::uint32_t index, std::uint32_t value) {
  *memory_register(kIoApicAddress) = index;
  *memory_register(kIoApicAddress + 0x10) = value;
}

}  // namespace

void initialize_local_apic() {
  const std::uint32_t features = cpuid(1).ecx;
  x2apic = (features & (1u << 21)) != 0;
  tsc_deadline = (features & (1u << 24)) != 0;
  if (x2apic) {
    write_msr(kMsrApicBase, read_msr(kMsrApicBase) | (3u << 10));
  }
  // An 8259, where a machine has one, would interrupt through LINT0.
  write_register(kLint0, kMasked);
  write_register(kLint1, kMasked);
  write_register(kSpurious, 0x100 | kVectorSpurious);
  write_register(kTimerDivide, 0xb);  // by 1
  write_register(kTimer, kVectorTimer | (tsc_deadline ? kTscDeadlineMode : 0));
}

std::uint32_t local_apic_id() {
  const std::uint32_t id = read_register(kId);
  return x2apic ? id : id >> 24;
}

void end_of_interrupt() {
  write_register(kEndOfInterrupt, 0);
}

void set_local_timer(std::uint64_t deadline) {
  if (tsc_deadline) {
    write_msr(kMsrTscDeadline, deadline);
    return;
  }
  if (deadline == 0) {
    write_register(kTimerInitialCount, 0);
    return;
  }
  // The APIC timer's frequency is not known here. A quarter of the distance comes too early on all
  // machines in question (TSC at most four times as fast); the handler then sets the rest.
  const std::uint64_t now = read_tsc();
  const std::uint64_t distance = deadline > now ? (deadline - now) / 4 : 0;
  constexpr std::uint64_t kShortest = 256;
  constexpr std::uint64_t kLongest = 0xffff'ffff;
  write_register(kTimerInitialCount, static_cast<std::uint32_t>(distance < kShortest  ? kShortest
                                                                : distance > kLongest ? kLongest
                                                                                      : distance));
}

void send_kick(const Processor& processor) {
  send_command(processor.apic_id, kVectorKick | 0x4000);
}

void send_init(std::uint32_t apic_id) {
  constexpr std::uint32_t kInit = 0x4500;
  send_command(apic_id, kInit);
}

void send_init_and_startup(std::uint32_t apic_id, std::uint8_t page) {
  constexpr std::uint32_t kStartUp = 0x4600;
  send_init(apic_id);
  send_command(apic_id, kStartUp | page);
}

void route_gsi(unsigned gsi, Trigger trigger, std::uint32_t apic_id, bool masked) {
  constexpr std::uint32_t kLevel = 1u << 15;
  const std::uint32_t index = 0x10 + 2 * gsi;
  write_io_apic(index + 1, apic_id << 24);
  write_io_apic(index, (kVectorGsiBase + gsi) | (trigger == Trigger::kLevelHigh ? kLevel : 0) |
                           (masked ? kMasked : 0));
}

}  // namespace nucleus
