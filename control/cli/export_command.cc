#include "control/cli/export_command.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "control/daemon/device_options.h"
#include "control/daemon_paths.h"
#include "control/installation.h"
#include "control/libvirt/initial_ramdisk.h"
#include "control/libvirt_program.h"
#include "device-model/profile_loader.h"

namespace ensemble::control {
namespace {

constexpr std::string_view kProfilePrefix = "profiles/";

struct Exported {
  DeviceOptions options;
  device::Profile profile;
};

// What the name stands for: a device if a daemon has one that is called so, else a profile.
Result<Exported> look_up(Client& client, const std::string& name) {
  Exported exported;
  std::string profile = name;
  const bool may_be_device = name.find('/') == std::string::npos;
  if (may_be_device && ::access(daemon_socket().c_str(), F_OK) == 0) {
    const auto devices = client.list("");
    if (!devices) {
      return std::unexpected(devices.error().with_context(
          "cannot tell whether there is a device '" + name + "'; 'profiles/" + name +
          "' is the profile whatever devices there are"));
    }
    const auto device = std::ranges::find(*devices, "devices/" + name, &v1::Device::name);
    if (device != devices->end()) {
      exported.options = device_options(*device);
      profile = device->spec().profile();
    }
  }
  if (profile.starts_with(kProfilePrefix)) {
    profile.erase(0, kProfilePrefix.size());
  }
  auto loaded = device::load_profile(profile);
  if (!loaded) {
    return std::unexpected(loaded.error());
  }
  exported.profile = std::move(*loaded);
  exported.options.power = device::PowerControl::kUnannounced;
  exported.options.terminal = TerminalSize{};
  return exported;
}

}  // namespace

Result<std::string> export_domain(Client& client, const ExportOptions& options) {
  const ClockMeasurement clock = ClockMeasurement::begin();
  const auto exported = look_up(client, options.name);
  auto files = InstallationFiles::locate();
  if (!exported || !files) {
    return std::unexpected(!exported ? exported.error() : files.error());
  }
  auto configuration = make_configuration(exported->options, exported->profile, *files);
  if (!configuration) {
    return std::unexpected(configuration.error());
  }
  std::error_code failed;
  const auto absolute = [&failed](const std::string& path) {
    return std::filesystem::weakly_canonical(std::filesystem::absolute(path, failed), failed)
        .string();
  };
  configuration->set_kernel(absolute(configuration->kernel()));
  for (auto& device : *configuration->mutable_devices()) {
    if (device.has_virtio_block()) {
      device.mutable_virtio_block()->set_path(absolute(device.virtio_block().path()));
    }
  }
  const std::string initial_ramdisk =
      absolute(options.initial_ramdisk.empty() ? configuration->name() + ".initrd"
                                               : options.initial_ramdisk);
  auto xml = make_domain_xml(files->libvirt_executable(), *configuration, configuration->name(),
                             initial_ramdisk);
  if (!xml) {
    return xml;
  }
  auto written = write_initial_ramdisk(*configuration, clock.frequency(), initial_ramdisk);
  if (!written) {
    return std::unexpected(written.error());
  }
  fmt::print(stderr, "ensemble: the domain boots from '{}', which was written\n", initial_ramdisk);
  return xml;
}

}  // namespace ensemble::control
