#pragma once

#include <string>
#include <vector>

#include "device-model/profile.h"
#include "device-model/virtio/input_description.h"

namespace ensemble::device {

// The input devices of a product, in the order of their places in the machine: one for its buttons,
// one for its touch screen, one for its crown, one for the switches of its keyboard dock.
// `serial` tells those of one machine from another's; it is cut where it is too long.
std::vector<InputDescription> input_devices(const Profile& product, const std::string& serial);

}  // namespace ensemble::device
