#pragma once

#include "control/device_machine.h"

namespace ensemble::control {

// main() of a device's process: started by a controller, which it finds on descriptor 3 (the
// protocol ensemble.vmm.v1) and whose console it finds on descriptor 4. With --serve=FOLDER,
// descriptor 3 is a listening socket instead, and it outlives its controllers. `name` is the
// program's, and `prepare` returns what makes machines; its argument is FOLDER, or empty.
int device_process_main(int count, char** values, const char* name,
                        const std::function<MachineMaker(const std::string& folder)>& prepare);

}  // namespace ensemble::control
