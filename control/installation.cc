#include "control/installation.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <vector>

namespace ensemble::control {
namespace {

const char* non_empty_environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

}  // namespace

std::string kvm_device() {
  const char* device = non_empty_environment("ENSEMBLE_KVM_DEVICE");
  return device != nullptr ? device : "/dev/kvm";
}

Result<InstallationFiles> InstallationFiles::locate() {
  std::array<char, PATH_MAX> path;
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  if (length < 0) {
    return std::unexpected(Error::from_errno("cannot find this program's directory", errno));
  }
  const std::string_view executable(path.data(), static_cast<std::size_t>(length));
  return InstallationFiles(std::string(executable.substr(0, executable.rfind('/'))));
}

Result<std::string> InstallationFiles::guest_file(std::string_view name,
                                                  std::string_view description) const {
  std::vector<std::string> candidates;
  if (const char* directory = non_empty_environment("ENSEMBLE_GUEST_DIR")) {
    candidates = {fmt::format("{}/{}", directory, name)};
  } else {
    candidates = {fmt::format("{}/../share/ensemble/{}", directory_, name),
                  fmt::format("{}/../guest-kernel/{}", directory_, name),
                  fmt::format("{}/../{}", directory_, name)};
  }
  for (const std::string& candidate : candidates) {
    if (exists(candidate)) {
      return candidate;
    }
  }
  return fail("the {} is missing: looked for '{}'; build it with 'cmake --build {}/..'",
              description, fmt::join(candidates, "', '"), directory_);
}

Result<std::string> InstallationFiles::kernel() const {
  return guest_file("nucleus.elf", "kernel");
}

Result<std::string> InstallationFiles::boot_package() const {
  return guest_file("boot.pkg", "boot package");
}

Result<std::string> InstallationFiles::agent_boot_package() const {
  return guest_file("boot-agent.pkg", "boot package for agents");
}

Result<std::string> InstallationFiles::disk_boot_package() const {
  return guest_file("boot-disk.pkg", "boot package for disks");
}

Result<std::string> InstallationFiles::root_file_system() const {
  return guest_file("rootfs.cpio", "root file system");
}

std::string InstallationFiles::vmm_executable() const {
  if (const char* executable = non_empty_environment("ENSEMBLE_VMM")) {
    return executable;
  }
  return directory_ + "/ensemble-vmm";
}

}  // namespace ensemble::control
