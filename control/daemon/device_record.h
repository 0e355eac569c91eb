#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <string>
#include <string_view>

#include "control/daemon/api_error.h"
#include "control/ensemble/v1/device.pb.h"

namespace ensemble::control {

inline constexpr std::string_view kDevicePrefix = "devices/";

// Whether `id` can be a device's: 1 to 63 characters of a-z, 0-9 and '-', the first a letter, the
// last none of '-'.
bool is_device_id(std::string_view id);

// Judges what a client asks a device to be, as far as that can be told from the words alone. The
// error names the field below "device".
ApiResult<void> check_labels(const google::protobuf::Map<std::string, std::string>& labels);
ApiResult<void> check_restart(const v1::Restart& restart);
ApiResult<void> check_spec(const v1::DeviceSpec& spec);

// "RUNNING" and so on.
std::string state_name(v1::DeviceState state);

// Whether a process may exist for a device in this state.
bool is_active(v1::DeviceState state);

google::protobuf::Timestamp now();

// 32 hexadecimal digits that no other device has.
std::string new_uid();

}  // namespace ensemble::control
