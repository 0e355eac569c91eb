#pragma once

#include <cstdint>

#include "guest-kernel/composer/machine.h"

namespace composer {

// Fills in the time page: the monotonic clock is zero at `entry_tsc`. Returns nullptr, or a
// sentence that says what failed.
const char* publish_time(Machine& machine, std::uint64_t entry_tsc);

}  // namespace composer
