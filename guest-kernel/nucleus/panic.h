#pragma once

#include <cstdint>

namespace nucleus {

struct Thread;

// Says why on the 16550 and stops the machine (triple fault), since nothing can go on.
[[noreturn]] void panic(const char* reason, std::uint64_t detail = 0, std::uint64_t detail2 = 0);

// A thread that nobody takes faults of: one line on the 16550.
void report_unhandled_fault(const Thread& thread);

}  // namespace nucleus
