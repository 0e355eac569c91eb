#include "control/cli/device_output.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

namespace ensemble::control {
namespace {

using google::protobuf::util::TimeUtil;

constexpr std::string_view kPrefix = "devices/";
constexpr std::size_t kShortUid = 12;

std::string age_of(const v1::Device& device) {
  const std::int64_t seconds =
      std::max<std::int64_t>(TimeUtil::TimestampToSeconds(TimeUtil::GetCurrentTime()) -
                                 TimeUtil::TimestampToSeconds(device.create_time()),
                             0);
  constexpr std::int64_t kMinute = 60;
  constexpr std::int64_t kHour = 3600;
  constexpr std::int64_t kDay = 86400;
  return seconds < 2 * kMinute ? fmt::format("{}s", seconds)
         : seconds < 2 * kHour ? fmt::format("{}m", seconds / kMinute)
         : seconds < 2 * kDay  ? fmt::format("{}h", seconds / kHour)
                               : fmt::format("{}d", seconds / kDay);
}

std::string labels_of(const v1::Device& device) {
  std::vector<std::string> labels;
  for (const auto& [key, value] : device.labels()) {
    labels.push_back(value.empty() ? key : key + "=" + value);
  }
  std::ranges::sort(labels);
  return fmt::format("{}", fmt::join(labels, ","));
}

std::string profile_of(const v1::Device& device) {
  const std::string& name = device.spec().profile();
  return name.substr(name.rfind('/') + 1);
}

// What the profile decides is known from the first start on.
std::string figure(std::uint64_t resolved, std::uint64_t asked) {
  return resolved != 0 ? std::to_string(resolved) : asked != 0 ? std::to_string(asked) : "-";
}

std::vector<std::string> row_of(const v1::Device& device, bool wide) {
  const v1::DeviceStatus& status = device.status();
  std::vector<std::string> row = {
      short_name(device),
      state_text(device.status().state()),
      profile_of(device),
      figure(status.processors(), device.spec().processors()),
      figure(status.memory_bytes() >> 20, device.spec().memory_bytes() >> 20),
      age_of(device)};
  if (wide) {
    row.push_back(device.uid().substr(0, kShortUid));
    row.push_back(status.process_id() != 0 ? std::to_string(status.process_id()) : "-");
    row.push_back(status.has_exit_code() ? std::to_string(status.exit_code()) : "-");
    const std::string labels = labels_of(device);
    row.push_back(labels.empty() ? "-" : labels);
    row.push_back(status.state_reason().empty() ? "-" : status.state_reason());
  }
  return row;
}

std::string to_table(const std::vector<v1::Device>& devices, bool wide, bool colours) {
  std::vector<std::vector<std::string>> rows = {{"NAME", "STATE", "PROFILE", "CPUS", "MIB", "AGE"}};
  if (wide) {
    rows.front().insert(rows.front().end(), {"ID", "PROCESS", "EXIT", "LABELS", "REASON"});
  }
  for (const v1::Device& device : devices) {
    rows.push_back(row_of(device, wide));
  }
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], row[column].size());
    }
  }
  constexpr std::size_t kStateColumn = 1;
  std::string text;
  for (std::size_t line = 0; line < rows.size(); ++line) {
    for (std::size_t column = 0; column < widths.size(); ++column) {
      const bool last = column + 1 == widths.size();
      const std::string cell =
          fmt::format("{:<{}}", rows[line][column], last ? 0 : widths[column] + 2);
      const bool coloured = colours && line > 0 && column == kStateColumn;
      text += coloured ? fmt::format("{}{}\x1b[0m",
                                     state_colour(devices[line - 1].status().state()), cell)
                       : cell;
    }
    text += '\n';
  }
  return text;
}

std::string to_json(const google::protobuf::Message& message, bool pretty) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = pretty;
  std::string text;
  // Fails for fields of type Any only, and there are none.
  (void)google::protobuf::util::MessageToJsonString(message, &text, options);
  return text;
}

void use_block_style(YAML::Node node) {
  if (node.IsMap() || node.IsSequence()) {
    node.SetStyle(node.size() == 0 ? YAML::EmitterStyle::Flow : YAML::EmitterStyle::Block);
  }
  for (auto entry : node) {
    use_block_style(node.IsMap() ? entry.second : static_cast<YAML::Node>(entry));
  }
}

template <typename Message>
std::string to_json_list(const std::vector<Message>& messages) {
  std::vector<std::string> texts;
  for (const Message& message : messages) {
    std::string text = to_json(message, true);
    while (text.ends_with('\n')) {
      text.pop_back();
    }
    texts.push_back(std::move(text));
  }
  return fmt::format("[{}]\n", fmt::join(texts, ",\n"));
}

template <typename Message>
std::string to_yaml_list(const std::vector<Message>& messages) {
  const YAML::Node list = YAML::Load(to_json_list(messages));  // JSON is YAML.
  use_block_style(list);
  YAML::Emitter emitter;
  emitter << list;
  return std::string(emitter.c_str()) + "\n";
}

}  // namespace

bool colours_wanted() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0') &&
         terminal != nullptr && std::string_view(terminal) != "dumb";
}

std::string short_name(const std::string& name) {
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
}

std::string short_name(const v1::Device& device) {
  return short_name(device.name());
}

std::string state_text(v1::DeviceState state) {
  constexpr std::string_view kStatePrefix = "DEVICE_STATE_";
  std::string name = v1::DeviceState_Name(state);
  name = name.starts_with(kStatePrefix) ? name.substr(kStatePrefix.size()) : name;
  std::ranges::transform(name, name.begin(), [](char letter) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  });
  return name;
}

std::string_view state_colour(v1::DeviceState state) {
  switch (state) {
    case v1::DEVICE_STATE_RUNNING:
      return "\x1b[32m";
    case v1::DEVICE_STATE_FAILED:
      return "\x1b[31m";
    case v1::DEVICE_STATE_STARTING:
    case v1::DEVICE_STATE_STOPPING:
    case v1::DEVICE_STATE_PAUSED:
    case v1::DEVICE_STATE_DELETING:
      return "\x1b[33m";
    default:
      return "\x1b[2m";
  }
}

std::string list_metrics_as(const std::vector<v1::DeviceMetrics>& metrics, ListFormat format) {
  return format == ListFormat::kYaml ? to_yaml_list(metrics) : to_json_list(metrics);
}

std::string list_devices_as(const std::vector<v1::Device>& devices, ListFormat format,
                            bool colours) {
  switch (format) {
    case ListFormat::kTable:
    case ListFormat::kWide:
      return to_table(devices, format == ListFormat::kWide, colours);
    case ListFormat::kJson:
      return to_json_list(devices);
    case ListFormat::kYaml:
      break;
  }
  return to_yaml_list(devices);
}

std::string describe_event(const v1::DeviceEvent& event, bool colours) {
  constexpr std::array<std::string_view, 5> kKinds = {"", "is", "becomes", "is gone", ""};
  const v1::Device& device = event.device();
  const bool gone = event.kind() == v1::DeviceEvent::KIND_DELETED;
  const std::string& reason = device.status().state_reason();
  const std::string state = colours
                                ? fmt::format("{}{}\x1b[0m", state_colour(device.status().state()),
                                              state_text(device.status().state()))
                                : state_text(device.status().state());
  return fmt::format("{}  {} {}{}{}", TimeUtil::ToString(event.time()), short_name(device),
                     kKinds.at(static_cast<std::size_t>(event.kind())), gone ? "" : " " + state,
                     gone || reason.empty() ? "" : " (" + reason + ")");
}

std::string event_as_json(const v1::DeviceEvent& event) {
  return to_json(event, false);
}

}  // namespace ensemble::control
