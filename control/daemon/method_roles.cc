#include "control/daemon/method_roles.h"

#include <algorithm>
#include <iterator>

namespace ensemble::control {
namespace {

struct Row {
  std::string_view path;
  Role role;
};

constexpr Row kTable[] = {
    {"/ensemble.v1.Console/Attach", Role::kOperator},
    {"/ensemble.v1.Devices/CreateDevice", Role::kAdmin},
    {"/ensemble.v1.Devices/DeleteDevice", Role::kAdmin},
    {"/ensemble.v1.Devices/GetDevice", Role::kViewer},
    {"/ensemble.v1.Devices/ListDevices", Role::kViewer},
    {"/ensemble.v1.Devices/PauseDevice", Role::kOperator},
    {"/ensemble.v1.Devices/ResetDevice", Role::kOperator},
    {"/ensemble.v1.Devices/ResumeDevice", Role::kOperator},
    {"/ensemble.v1.Devices/StartDevice", Role::kOperator},
    {"/ensemble.v1.Devices/StopDevice", Role::kOperator},
    {"/ensemble.v1.Devices/UpdateDevice", Role::kAdmin},
    {"/ensemble.v1.Devices/WatchDevices", Role::kViewer},
    {"/ensemble.v1.Exec/Run", Role::kOperator},
    {"/ensemble.v1.Files/GetPushState", Role::kOperator},
    {"/ensemble.v1.Files/List", Role::kOperator},
    {"/ensemble.v1.Files/Pull", Role::kOperator},
    {"/ensemble.v1.Files/Push", Role::kOperator},
    {"/ensemble.v1.Files/Stat", Role::kOperator},
    {"/ensemble.v1.Host/GetDeviceMetrics", Role::kViewer},
    {"/ensemble.v1.Host/GetHost", Role::kViewer},
    {"/ensemble.v1.Input/SendInput", Role::kOperator},
    {"/ensemble.v1.Logs/ReadLogs", Role::kViewer},
    {"/ensemble.v1.Metrics/ListDeviceMetrics", Role::kViewer},
    {"/ensemble.v1.Operations/CancelOperation", Role::kOperator},
    {"/ensemble.v1.Operations/GetOperation", Role::kViewer},
    {"/ensemble.v1.Operations/ListOperations", Role::kViewer},
    {"/ensemble.v1.Operations/WaitOperation", Role::kViewer},
    {"/ensemble.v1.Operations/WatchOperation", Role::kViewer},
    {"/ensemble.v1.Profiles/DeleteProfile", Role::kAdmin},
    {"/ensemble.v1.Profiles/GetProfile", Role::kViewer},
    {"/ensemble.v1.Profiles/ListProfiles", Role::kViewer},
    {"/ensemble.v1.Profiles/PutProfile", Role::kAdmin},
    {"/ensemble.v1.Profiles/ValidateProfile", Role::kViewer},
    {"/grpc.health.v1.Health/Check", Role::kViewer},
    {"/grpc.health.v1.Health/Watch", Role::kViewer},
    {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Role::kViewer},
};
static_assert(std::ranges::is_sorted(kTable, {}, &Row::path));

}  // namespace

std::optional<Role> role_in_table(std::string_view path) {
  const Row* row = std::ranges::lower_bound(kTable, path, {}, &Row::path);
  return row != std::end(kTable) && row->path == path ? std::optional(row->role) : std::nullopt;
}

Role role_for_method(std::string_view path) {
  return role_in_table(path).value_or(Role::kAdmin);
}

}  // namespace ensemble::control
