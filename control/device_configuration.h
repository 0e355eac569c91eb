#pragma once

#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "control/installation.h"
#include "control/run_command.h"
#include "device-model/profile.h"
#include "vmm/error.h"

namespace ensemble::control {

// The configuration of the device that `options` asks for: the profile's, with what the options
// replace. All values are checked here, and all files for being readable; an Error names the
// option or the file and what was expected.
Result<ensemble::vmm::v1::Configuration> make_configuration(const RunOptions& options,
                                                            const device::Profile& profile,
                                                            const InstallationFiles& files);

}  // namespace ensemble::control
