#pragma once

#include <string>

#include "control/client/client.h"
#include "vmm/error.h"

namespace ensemble::control {

struct AttachOptions {
  bool read_only = false;
  // How much of what was printed before is shown first, in bytes.
  std::uint32_t scrollback_bytes = 0;
};

// Makes standard input and output the console of the device until the device stops or the user
// leaves: with Ctrl-A x on a terminal, or by SIGINT or SIGTERM.
Result<void> attach_to_console(Client& client, const std::string& name,
                               const AttachOptions& options);

}  // namespace ensemble::control
