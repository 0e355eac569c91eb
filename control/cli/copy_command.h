#pragma once

#include <string>
#include <vector>

#include "control/client/client.h"

namespace ensemble::control {

struct CopyOptions {
  // What is copied, and where to as the last.
  std::vector<std::string> places;
  // Directories too, with what is in them.
  bool recursive = false;
  // Goes on with what a broken copy has left.
  bool resume = false;
  // Prints what was copied as JSON.
  bool json = false;
};

// Copy files into a device (`places` ends with DEVICE:PATH) and out of devices. They say what went
// wrong and return the exit code: 125 then. A file is there whole or not at all.
int push_files(Client& client, const CopyOptions& options);
int pull_files(Client& client, const CopyOptions& options);

}  // namespace ensemble::control
