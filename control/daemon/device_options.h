#pragma once

#include "control/device_configuration.h"
#include "control/ensemble/v1/device.pb.h"

namespace ensemble::control {

// What the device's spec asks for, with a terminal as its console.
DeviceOptions device_options(const v1::Device& device);

}  // namespace ensemble::control
