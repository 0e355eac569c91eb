#pragma once

#include "control/address_options.h"
#include "control/client/client.h"

namespace ensemble::control {

// Of the command line and, for what that does not say, the environment. Reads the files. The Error
// says which option is wrong.
Result<DaemonAddress> find_daemon(const AddressOptions& options);

}  // namespace ensemble::control
