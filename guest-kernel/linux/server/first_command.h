#pragma once

#include <string_view>

#include "guest-kernel/linux/server/arguments.h"
#include "guest-kernel/linux/server/node.h"
#include "guest-kernel/linux/server/reference.h"

namespace linux_server {

// What the first process runs, in which environment, and where.
struct FirstCommand {
  Arguments arguments;
  Arguments environment;
  Reference<Node> directory;
};

// The command that the device was given, or else a shell: bash where the root file system has one,
// or sh, on the console's keys or with the console's data as its script. An agent without a command
// gets the shell as its command. The texts live on.
FirstCommand first_command();

}  // namespace linux_server
