#pragma once

#include <cstddef>
#include <vector>

#include "device-model/machine_description.h"
#include "vmm/error.h"

namespace ensemble::device {

// The manifest of a machine as a flattened device tree, as docs/machine.md lays down, with standard
// bindings where they exist. Below /product:
//
// screen          width-mm, height-mm, panel-timing/{hactive,vactive,clock-frequency},
//                 ensemble,shape ("rectangle", "round"), ensemble,density (pixels per inch),
//                 ensemble,refresh (Hz: lowest, highest)
// battery         simple-battery, with design charge, design energy and voltage limits
// power/NAME@ADDR fuel-gauge and charger: compatible, reg, ensemble,bus, monitored-battery
// buttons         gpio-keys: a node per button with label and linux,code
// touch           touchscreen-size-x, touchscreen-size-y, ensemble,contacts
// crown           rotary-encoder with rotary-encoder,steps, linux,axis
// keyboard-dock   linux,input-type, linux,code of its switch
// sensors         NAME@ADDR per chip: compatible, reg, ensemble,bus, ensemble,measures
// actuators       haptics@ADDR: compatible, reg, ensemble,bus
// gnss            ensemble,rate (Hz)
// buses           NAME per bus: clock-frequency
// domains         ensemble,isolation ("packed", "isolated"); a node per group with
//                 ensemble,services
//
// Parts that the product lacks have no node.
Result<std::vector<std::byte>> encode_device_tree(const MachineDescription& machine);

}  // namespace ensemble::device
