#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "vmm/error.h"

namespace ensemble::control {

// The KVM device file: /dev/kvm, or what the environment variable ENSEMBLE_KVM_DEVICE names.
std::string kvm_device();

// Finds what belongs to an installation or a build tree, starting from the directory of this
// executable: DIR/../share/ensemble of an installation, else the build tree DIR/.. . Environment
// variables take precedence: ENSEMBLE_GUEST_DIR, ENSEMBLE_VMM.
class InstallationFiles {
 public:
  static Result<InstallationFiles> locate();

  // The default kernel, boot package (of a machine without or with a disk, or with an agent and
  // perhaps a disk) and root file system.
  // The Error names the places that were searched and says how to make the file.
  Result<std::string> kernel() const;
  Result<std::string> boot_package() const;
  Result<std::string> disk_boot_package() const;
  Result<std::string> agent_boot_package() const;
  Result<std::string> root_file_system() const;

  // The ensemble-vmm executable.
  std::string vmm_executable() const;
  // The ensemble-libvirt executable.
  std::string libvirt_executable() const { return directory_ + "/ensemble-libvirt"; }
  // The ensemble-client executable.
  std::string client_executable() const { return directory_ + "/ensemble-client"; }

  // For tests: an installation whose executables lie in `directory`.
  explicit InstallationFiles(std::string directory) : directory_(std::move(directory)) {}

 private:
  Result<std::string> guest_file(std::string_view name, std::string_view description) const;

  std::string directory_;
};

}  // namespace ensemble::control
