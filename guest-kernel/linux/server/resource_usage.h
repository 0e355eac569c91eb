#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/process.h"
#include "guest-kernel/linux/server/time_value.h"

namespace linux_server {

// struct rusage
struct ResourceUsage {
  TimeValue user_time;
  TimeValue system_time;
  std::int64_t resident_maximum;  // KiB
  std::int64_t unused[3];
  std::int64_t minor_faults;
  std::int64_t others[9];
};
static_assert(sizeof(ResourceUsage) == 144);

constexpr TimeValue to_time_value(std::uint64_t ns) {
  return {static_cast<std::int64_t>(ns / kNanosecondsPerSecond),
          static_cast<std::int64_t>(ns % kNanosecondsPerSecond / 1000)};
}

// RUSAGE_SELF, RUSAGE_THREAD, RUSAGE_CHILDREN: of the children that were waited for.
ResourceUsage usage_of(const Process& process);
ResourceUsage usage_of(const Task& task);
ResourceUsage usage_of_children(const Process& process);
// Of a child and its own, as wait4(2) tells it.
ResourceUsage usage_of_family(const Process& process);
// Its parent has waited for it.
void add_to_parent(const Process& child);

}  // namespace linux_server
