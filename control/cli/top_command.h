#pragma once

#include "control/cli/device_commands.h"
#include "control/client/client.h"

namespace ensemble::control {

struct TopOptions {
  // One table and no more; also when standard output is no terminal.
  bool once = false;
  // Between two readings, in seconds: 0.1 to 60.
  double interval = 1;
};

// Shows what devices use, on a terminal again and again until a key or a signal ends it. JSON and
// YAML are a list of what the API says, once. Returns the exit code.
int show_top(Client& client, const Selection& selection, ListFormat format,
             const TopOptions& options);

}  // namespace ensemble::control
