#pragma once

#include <cstdint>

namespace nucleus {

struct Processor;

// Interrupt vectors. Device interrupts (GSI n) are kVectorGsiBase + n.
inline constexpr unsigned kVectorGsiBase = 0x20;
inline constexpr unsigned kGsiCount = 24;
inline constexpr unsigned kVectorTimer = 0x40;
inline constexpr unsigned kVectorKick = 0x41;
inline constexpr unsigned kVectorSpurious = 0x4f;
inline constexpr unsigned kVectorCount = 0x50;

// The calling processor's local APIC: x2APIC registers where CPUID has them, memory-mapped ones
// otherwise (QEMU's software emulation); TSC-deadline timer, or one-shot.
void initialize_local_apic();
std::uint32_t local_apic_id();
void end_of_interrupt();

// One timer interrupt at TSC `deadline` (soon, if it has passed); 0: none. It may come early.
void set_local_timer(std::uint64_t deadline);

// Interrupts another processor, so that it looks at its requests and its run queues.
void send_kick(const Processor& processor);

// Stops a processor until it is started.
void send_init(std::uint32_t apic_id);
// INIT, then start-up at physical address `page` << 12, real mode.
void send_init_and_startup(std::uint32_t apic_id, std::uint8_t page);

// Routes a GSI of the first I/O APIC to the processor, masked or not.
enum class Trigger : std::uint8_t { kEdgeRising = 1, kLevelHigh = 4 };
void route_gsi(unsigned gsi, Trigger trigger, std::uint32_t apic_id, bool masked);

}  // namespace nucleus
