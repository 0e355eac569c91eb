#pragma once

#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "device-model/virtio/input_controls.h"
#include "device-model/virtio/input_description.h"
#include "vmm/error.h"

namespace ensemble::control {

// An input device as the protocol has it, and back. Codes that do not fit into 16 bits are an
// Error.
ensemble::vmm::v1::VirtioInput to_message(const device::InputDescription& input);
Result<device::InputDescription> input_description(const ensemble::vmm::v1::VirtioInput& message);

// Does what the message says. The Error is that of InputControls.
Result<void> perform(const ensemble::vmm::v1::SendInput& input, device::InputControls& controls);

}  // namespace ensemble::control
