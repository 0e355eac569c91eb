#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "control/cli/device_output.h"
#include "control/client/client.h"
#include "vmm/error.h"

namespace ensemble::control {

// Which devices a command is about: by name or the first digits of an ID, or by a filter.
struct Selection {
  std::vector<std::string> names;
  // As in v1::ListDevicesRequest; several must all hold.
  std::vector<std::string> filters;
};

struct UpOptions {
  std::string profile;
  std::optional<std::string> name;
  std::uint32_t count = 1;
  // Each KEY=VALUE or KEY.
  std::vector<std::string> labels;
  std::optional<std::uint32_t> cpus;
  std::optional<std::string> memory;
  std::optional<std::string> kernel;
  std::optional<std::string> rootfs;
  std::optional<std::string> disk;
  // As parse_engine() reads it.
  std::string engine = "auto";
  std::string restart = "never";
  std::vector<std::string> command;
};

// What the verbs of the command line do. They print to standard output what was asked for, to
// standard error what went wrong, and return the exit code.
class DeviceCommands {
 public:
  explicit DeviceCommands(Client& client) : client_(client) {}

  // Makes and starts devices; prints their names.
  int up(const UpOptions& options);
  int list(const Selection& selection, bool running_only, ListFormat format);
  // The devices' names, one a line, for completions.
  int print_names();
  int inspect(const Selection& selection, ListFormat format);
  int events(const Selection& selection, bool json);
  int logs(const std::string& name, bool follow, std::uint32_t lines, bool of_process);

  // Does `action` for each selected device, once, and says what has become of it, as in "stopped".
  // Goes on after failures.
  using Action = std::function<Result<void>(const std::string& name)>;
  int for_each(const Selection& selection, const Action& action);

  // Deletes devices; those that run with `force` only.
  int remove(const Selection& selection, bool force);

  // The devices' full names.
  Result<std::vector<std::string>> select(const Selection& selection);

 private:
  // The name of the device that is called so, or whose uid begins so: calls that change something
  // take no digits.
  Result<std::string> resolve(const std::string& name);
  Result<std::vector<v1::Device>> find(const Selection& selection);

  Client& client_;
};

}  // namespace ensemble::control
