#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/ensemble/v1/device.pb.h"
#include "control/ensemble/v1/devices.pb.h"
#include "control/ensemble/v1/metrics.pb.h"

namespace ensemble::control {

enum class ListFormat { kTable, kWide, kJson, kYaml };

// Whether standard output takes colours: it is a terminal, and NO_COLOR is not set.
bool colours_wanted();

// A device's name without "devices/".
std::string short_name(const std::string& name);
std::string short_name(const v1::Device& device);

// "running", and how a terminal is told its colour.
std::string state_text(v1::DeviceState state);
std::string_view state_colour(v1::DeviceState state);

// Devices for people or for programs. JSON and YAML are lists of what the API says.
std::string list_devices_as(const std::vector<v1::Device>& devices, ListFormat format,
                            bool colours);

// Figures as a list of what the API says, in JSON or YAML.
std::string list_metrics_as(const std::vector<v1::DeviceMetrics>& metrics, ListFormat format);

// One line, without its end.
std::string describe_event(const v1::DeviceEvent& event, bool colours);
std::string event_as_json(const v1::DeviceEvent& event);

}  // namespace ensemble::control
