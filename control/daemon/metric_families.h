#pragma once

#include <prometheus/metric_family.h>

#include <vector>

#include "control/ensemble/v1/metrics.pb.h"

namespace ensemble::control {

// Devices' figures as Prometheus has them: one series for each figure that a device tells, with the
// labels "device" (its ID) and "uid". Families without a series are left out.
std::vector<prometheus::MetricFamily> device_families(
    const std::vector<v1::DeviceMetrics>& devices);

// This process's own figures, by the names that Prometheus's clients give them.
std::vector<prometheus::MetricFamily> process_families();

}  // namespace ensemble::control
