#include "control/daemon/device_options.h"

#include <optional>
#include <string>

namespace ensemble::control {

DeviceOptions device_options(const v1::Device& device) {
  const v1::DeviceSpec& spec = device.spec();
  const auto given = [](const std::string& path) {
    return path.empty() ? std::optional<std::string>() : std::optional(path);
  };
  DeviceOptions options;
  options.name = device.name().substr(device.name().find('/') + 1);
  options.kernel = given(spec.kernel());
  options.rootfs = given(spec.root_file_system());
  options.disk = given(spec.disk());
  options.command = {spec.command().begin(), spec.command().end()};
  options.environment = {"TERM=xterm"};
  options.terminal = TerminalSize{};
  options.measure_memory = true;
  if (spec.processors() != 0) {
    options.cpus = spec.processors();
  }
  if (spec.memory_bytes() != 0) {
    options.memory = spec.memory_bytes();
  }
  for (const auto& [name, value] : spec.environment()) {
    options.environment.push_back(name + "=" + value);
  }
  return options;
}

}  // namespace ensemble::control
