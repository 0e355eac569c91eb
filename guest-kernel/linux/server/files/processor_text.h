#pragma once

#include "guest-kernel/lib/format.h"

namespace linux_server {

class Process;

// /proc/cpuinfo: what CPUID says, once per processor of the machine.
void write_processors(guest::TextWriter& text, const Process* subject);

}  // namespace linux_server
