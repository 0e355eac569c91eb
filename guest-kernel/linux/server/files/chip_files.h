#pragma once

#include "guest-kernel/linux/server/directory.h"

namespace linux_server {

// Adds the machine's chips to /sys, which is `root`: below devices/, with links from
// bus/iio/devices and class/power_supply, as Linux has them. False: no memory.
bool add_chip_files(Directory& root);

// Drivers of chips have signalled.
void take_chip_answers();

}  // namespace linux_server
