#pragma once

#include <memory>

#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "device-model/virtio/balloon_device.h"
#include "device-model/virtio/virtio_device.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"

namespace ensemble::control {

// Virtio devices that are made of the protocol's messages and tell of themselves in it.

// A network device, plugged in. `loop` outlives it.
Result<std::unique_ptr<device::VirtioDevice>> make_network_device(
    const ensemble::vmm::v1::VirtioNetwork& network, vmm::EventLoop& loop);

// Sets the balloon's target; part of a page counts as none.
void set_balloon(device::BalloonDevice& balloon, std::uint64_t bytes);

// What is known of the balloon and, by its driver, of the guest's memory. `running`: asks for newer
// figures, which the next call has; a machine that stands keeps its queues as they are.
ensemble::vmm::v1::Balloon measure_balloon(device::BalloonDevice& balloon, bool running);

}  // namespace ensemble::control
