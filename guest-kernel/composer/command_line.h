#pragma once

#include <span>
#include <string_view>

#include "guest-kernel/composer/machine.h"

namespace composer {

// Reads a machine off the kernel command line, where there is no manifest:
//   virtio_mmio.device=SIZE@ADDRESS:GSI  a virtio device (level-triggered); as Linux has it
//   console=ttyS0 | hvc0                 which console the command gets
//   tsc_khz=N  cpus=N  milestones        milestones: print them at the end
//   -- WORD…                             the command; "…" keeps blanks together. Devices are found
//                                        among its words too: QEMU appends them
// Other words are ignored. `arguments` (longer than `line`) receives the command's words.
// Returns nullptr, or a sentence that says what is wrong.
const char* read_command_line(std::string_view line, std::span<char> arguments, Machine& machine);

// Adds the virtio devices that the command line announces to a machine that is known otherwise.
const char* read_announced_devices(std::string_view line, Machine& machine);

}  // namespace composer
