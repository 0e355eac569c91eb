#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/client/client.h"

namespace ensemble::control {

struct ExecOptions {
  // Standard input goes to the program; else it has none.
  bool interactive = false;
  // The program has a terminal: this process's, which is raw meanwhile.
  bool on_terminal = false;
  // Each NAME=VALUE.
  std::vector<std::string> environment;
  std::string directory;
  // UID or UID:GID.
  std::optional<std::string> user;
  std::vector<std::string> command;
};

// Runs a program in a device with this process's standard streams; passes signals on to it. Returns
// its exit code, or 128 and its signal; 125 to 127 when it could not be run, which was said.
int run_in_device(Client& client, const std::string& device, const ExecOptions& options);

}  // namespace ensemble::control
