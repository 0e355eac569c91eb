#pragma once

#include <cstdint>
#include <string>

#include "vmm/error.h"

namespace ensemble::control {

// Writes the frequency of the time-stamp counter, which is known once the machine exists, into the
// flattened device tree `manifest`: /cpus, timebase-frequency, 64 bits, in hertz. The property must
// be there; its value does not matter.
Result<void> set_clock_frequency(std::string& manifest, std::uint64_t hertz);

}  // namespace ensemble::control
