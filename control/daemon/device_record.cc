#include "control/daemon/device_record.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "control/device_configuration.h"
#include "control/engine.h"

namespace ensemble::control {
namespace {

constexpr std::size_t kLongestId = 63;
constexpr std::size_t kMostLabels = 64;
constexpr std::size_t kLongestPrefix = 253;
constexpr std::size_t kMostArguments = 256;
constexpr std::size_t kLargestCommand = std::size_t{128} << 10;
constexpr std::uint32_t kMostAttempts = 1000;

bool is_lower(char letter) {
  return letter >= 'a' && letter <= 'z';
}
bool is_digit(char letter) {
  return letter >= '0' && letter <= '9';
}
bool is_alphanumeric(char letter) {
  return is_lower(letter) || is_digit(letter) || (letter >= 'A' && letter <= 'Z');
}

bool is_label_word(std::string_view word) {
  return !word.empty() && word.size() <= kLongestId && is_alphanumeric(word.front()) &&
         is_alphanumeric(word.back()) && std::ranges::all_of(word, [](char letter) {
           return is_alphanumeric(letter) || letter == '-' || letter == '_' || letter == '.';
         });
}

bool is_label_key(std::string_view key) {
  const std::size_t slash = key.find('/');
  if (slash == std::string_view::npos) {
    return is_label_word(key);
  }
  const std::string_view prefix = key.substr(0, slash);
  return !prefix.empty() && prefix.size() <= kLongestPrefix &&
         std::ranges::all_of(prefix,
                             [](char letter) {
                               return is_lower(letter) || is_digit(letter) || letter == '-' ||
                                      letter == '.';
                             }) &&
         is_label_word(key.substr(slash + 1));
}

ApiResult<void> check_path(const char* field, const std::string& path) {
  if (!path.empty() && path.front() != '/') {
    return invalid_argument(field, path, "an absolute path on the daemon's host");
  }
  if (path.find('\0') != std::string::npos) {
    return invalid_argument(field, path, "a path without a zero byte");
  }
  return {};
}

ApiResult<void> check_command(const v1::DeviceSpec& spec) {
  std::size_t size = 0;
  for (const std::string& argument : spec.command()) {
    size += argument.size() + 1;
    if (argument.find('\0') != std::string::npos) {
      return invalid_argument("device.spec.command", argument, "words without a zero byte");
    }
  }
  for (const auto& [name, value] : spec.environment()) {
    size += name.size() + value.size() + 2;
    if (name.empty() || name.find('=') != std::string::npos ||
        name.find('\0') != std::string::npos || value.find('\0') != std::string::npos) {
      return invalid_argument("device.spec.environment", name + "=" + value,
                              "names without '=' and no zero bytes");
    }
  }
  if (spec.command_size() > static_cast<int>(kMostArguments) || size > kLargestCommand) {
    return invalid_argument("device.spec.command",
                            fmt::format("{} words of {} bytes", spec.command_size(), size),
                            "at most 256 words, with the environment at most 128 KiB");
  }
  if (spec.command_size() > 0 && spec.command(0).empty()) {
    return invalid_argument("device.spec.command", "", "a program's path as the first word");
  }
  return {};
}

}  // namespace

bool is_device_id(std::string_view id) {
  return !id.empty() && id.size() <= kLongestId && is_lower(id.front()) && id.back() != '-' &&
         std::ranges::all_of(
             id, [](char letter) { return is_lower(letter) || is_digit(letter) || letter == '-'; });
}

ApiResult<void> check_labels(const google::protobuf::Map<std::string, std::string>& labels) {
  if (labels.size() > kMostLabels) {
    return invalid_argument("device.labels", fmt::format("{} labels", labels.size()), "at most 64");
  }
  for (const auto& [key, value] : labels) {
    if (!is_label_key(key)) {
      return invalid_argument("device.labels", key,
                              "a key of letters, digits, '-', '_' and '.', at most 63, maybe with "
                              "a prefix DOMAIN/");
    }
    if (!value.empty() && !is_label_word(value)) {
      return invalid_argument(fmt::format("device.labels[{}]", key), value,
                              "letters, digits, '-', '_' and '.', at most 63");
    }
  }
  return {};
}

ApiResult<void> check_restart(const v1::Restart& restart) {
  if (restart.maximum_attempts() > kMostAttempts) {
    return invalid_argument("device.spec.restart.maximum_attempts",
                            std::to_string(restart.maximum_attempts()), "at most 1000");
  }
  if (!v1::RestartPolicy_IsValid(restart.policy())) {
    return invalid_argument("device.spec.restart.policy", std::to_string(restart.policy()),
                            "a RestartPolicy");
  }
  return {};
}

ApiResult<void> check_spec(const v1::DeviceSpec& spec) {
  if (spec.profile().empty()) {
    return invalid_argument("device.spec.profile", "", "a profile's name");
  }
  if (spec.processors() != 0) {
    if (auto checked = check_cpus(spec.processors()); !checked) {
      return invalid_argument("device.spec.processors", std::to_string(spec.processors()),
                              "1 to 16");
    }
  }
  if (spec.memory_bytes() != 0) {
    if (auto checked = check_memory(spec.memory_bytes()); !checked) {
      return invalid_argument("device.spec.memory_bytes", std::to_string(spec.memory_bytes()),
                              "a multiple of 2 MiB from 16 MiB to 32 GiB");
    }
  }
  if (auto checked = check_restart(spec.restart()); !checked) {
    return checked;
  }
  if (!v1::Engine_IsValid(spec.engine())) {
    return invalid_argument("device.spec.engine", std::to_string(spec.engine()), "an Engine");
  }
  const std::string& uri = spec.libvirt_uri();
  if (!uri.empty() && (spec.engine() != v1::ENGINE_LIBVIRT || !check_libvirt_uri(uri))) {
    return invalid_argument(
        "device.spec.libvirt_uri", uri,
        "a connection to this host's QEMU, such as qemu:///session, with ENGINE_LIBVIRT only");
  }
  auto checked = check_path("device.spec.root_file_system", spec.root_file_system());
  if (checked) {
    checked = check_path("device.spec.disk", spec.disk());
  }
  if (checked) {
    checked = check_path("device.spec.kernel", spec.kernel());
  }
  return checked ? check_command(spec) : checked;
}

std::string state_name(v1::DeviceState state) {
  constexpr std::string_view kPrefix = "DEVICE_STATE_";
  const std::string& name = v1::DeviceState_Name(state);
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
}

bool is_active(v1::DeviceState state) {
  switch (state) {
    case v1::DEVICE_STATE_STARTING:
    case v1::DEVICE_STATE_RUNNING:
    case v1::DEVICE_STATE_PAUSED:
    case v1::DEVICE_STATE_STOPPING:
      return true;
    default:
      return false;
  }
}

google::protobuf::Timestamp now() {
  return google::protobuf::util::TimeUtil::GetCurrentTime();
}

std::string new_uid() {
  std::array<std::uint8_t, 16> bytes{};
  // Only fails before the host's random numbers are ready, and for addresses that are none.
  (void)!::getrandom(bytes.data(), bytes.size(), 0);
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += fmt::format("{:02x}", byte);
  }
  return text;
}

}  // namespace ensemble::control
