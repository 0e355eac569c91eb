#pragma once

#include <string>
#include <vector>

#include "control/daemon/api_error.h"
#include "control/ensemble/v1/device.pb.h"
#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "control/installation.h"
#include "device-model/profile.h"

namespace ensemble::control {

// What runs the device if it is started now. `problem` receives why that is not KVM although the
// spec leaves the choice; else it is cleared.
v1::Engine choose_engine(const v1::Device& record, std::string& problem);

// What the engine does not offer, as in v1::DeviceStatus.
std::vector<std::string> unavailable_with(v1::Engine engine);

// The configuration that a device's process gets on `engine`. The error says which file or value
// cannot be had.
ApiResult<ensemble::vmm::v1::Configuration> launch_configuration(const v1::Device& record,
                                                                 v1::Engine engine,
                                                                 const device::Profile& profile,
                                                                 const InstallationFiles& files);

}  // namespace ensemble::control
