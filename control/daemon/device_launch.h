#pragma once

#include "control/daemon/api_error.h"
#include "control/ensemble/v1/device.pb.h"
#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "control/installation.h"
#include "device-model/profile.h"

namespace ensemble::control {

// The configuration that a device's process gets. The error says which file or value cannot be had.
ApiResult<ensemble::vmm::v1::Configuration> launch_configuration(const v1::Device& record,
                                                                 const device::Profile& profile,
                                                                 const InstallationFiles& files);

}  // namespace ensemble::control
