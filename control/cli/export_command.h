#pragma once

#include <string>

#include "control/client/client.h"
#include "vmm/error.h"

namespace ensemble::control {

struct ExportOptions {
  // A device of the daemon, a profile, or the path of one.
  std::string name;
  // The only one so far.
  std::string format = "libvirt";
  // Where the file goes that the domain boots from; empty: NAME.initrd in the working directory.
  std::string initial_ramdisk;
};

// Returns the XML of a libvirt domain that is the device, or a device of the profile, and writes
// the file that it boots from.
Result<std::string> export_domain(Client& client, const ExportOptions& options);

}  // namespace ensemble::control
