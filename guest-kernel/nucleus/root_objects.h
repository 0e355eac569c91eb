#pragma once

#include "guest-kernel/nucleus/object.h"

namespace nucleus {

// Authorities that have no state: who may start processors and read the machine's counters, and who
// may bind interrupts. They never end.
extern Object machine_object;
extern Object interrupt_control_object;

}  // namespace nucleus
