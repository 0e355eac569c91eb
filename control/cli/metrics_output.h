#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/ensemble/v1/metrics.pb.h"
#include "control/raw_terminal.h"

namespace ensemble::control {

// What a device did between two readings of its counters, over the time of the host's monotonic
// clock. Absent where it cannot be told: there are no two readings of the same process, or a
// counter has begun anew.
struct DeviceRates {
  // In hundredths of one processor.
  std::optional<double> processor;
  // The same in the threads of its virtual processors only.
  std::optional<double> virtual_processors;
  std::optional<double> exits_per_second;
  // Of all virtio queues.
  std::optional<double> requests_per_second;
};

DeviceRates rates_between(const v1::DeviceMetrics& before, const v1::DeviceMetrics& after);

struct MetricsTableOptions {
  bool wide = false;
  bool colours = false;
  // Longer lines are cut off; 0: none is.
  unsigned columns = 0;
  // Most lines, with the header; when there are more, the last one says so. 0: any number.
  unsigned rows = 0;
};

// Devices for people, the busiest first. `before` may be empty, or have other devices.
std::string metrics_table(const std::vector<v1::DeviceMetrics>& before,
                          const std::vector<v1::DeviceMetrics>& after,
                          const MetricsTableOptions& options);

// All of them in a line, without its end: "3 devices, 2 running, 104.0% CPU".
std::string metrics_summary(const std::vector<v1::DeviceMetrics>& before,
                            const std::vector<v1::DeviceMetrics>& after);

}  // namespace ensemble::control
