#include "control/daemon/device_launch.h"

#include <fmt/format.h>

#include <optional>
#include <string>

#include "control/daemon/device_record.h"
#include "control/device_configuration.h"

namespace ensemble::control {
namespace {

// In the boot package for agents. It runs the device's command.
constexpr char kAgentProgram[] = "/bin/ensemble-agent";

}  // namespace

ApiResult<ensemble::vmm::v1::Configuration> launch_configuration(const v1::Device& record,
                                                                 const device::Profile& profile,
                                                                 const InstallationFiles& files) {
  const v1::DeviceSpec& spec = record.spec();
  const auto given = [](const std::string& path) {
    return path.empty() ? std::optional<std::string>() : std::optional(path);
  };
  DeviceOptions options{.name = record.name().substr(kDevicePrefix.size()),
                        .cpus = {},
                        .memory = {},
                        .kernel = given(spec.kernel()),
                        .rootfs = given(spec.root_file_system()),
                        .disk = given(spec.disk()),
                        .command = {spec.command().begin(), spec.command().end()},
                        .environment = {"TERM=xterm"},
                        .terminal = TerminalSize{},
                        .measure_memory = true};
  // A kernel of the user's own need not know it.
  if (spec.kernel().empty()) {
    options.agent = true;
    options.command.emplace(options.command.begin(), kAgentProgram);
  }
  if (spec.processors() != 0) {
    options.cpus = spec.processors();
  }
  if (spec.memory_bytes() != 0) {
    options.memory = spec.memory_bytes();
  }
  for (const auto& [name, value] : spec.environment()) {
    options.environment.push_back(name + "=" + value);
  }
  auto configuration = make_configuration(options, profile, files);
  if (!configuration) {
    return failed_precondition("CANNOT_CONFIGURE", fmt::format("cannot start {}: {}", record.name(),
                                                               configuration.error().message()));
  }
  return *configuration;
}

}  // namespace ensemble::control
