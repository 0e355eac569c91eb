#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "control/daemon/managed_device.h"
#include "control/ensemble/v1/metrics.pb.h"
#include "control/ensemble/vmm/v1/vmm.pb.h"

namespace ensemble::control {

// What is known of a device's figures without its process.
v1::DeviceMetrics metrics_of(const v1::Device& record);
// With what its process has told.
v1::DeviceMetrics metrics_of(const v1::Device& record,
                             const ensemble::vmm::v1::Measurements& measured);

// How long a process may take to answer when many are asked.
inline constexpr std::chrono::milliseconds kMetricsPatience{2000};

// Figures of all these devices, in this order. Their processes are asked at the same time; `done`
// is called once, when the last has answered, does not or is gone. On the event loop's thread; the
// devices need to be there during the call only.
void measure_devices(const std::vector<ManagedDevice*>& devices,
                     std::function<void(std::vector<v1::DeviceMetrics> metrics)> done);

}  // namespace ensemble::control
