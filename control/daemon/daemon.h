#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>

#include "control/access/role.h"
#include "control/daemon/device_table.h"
#include "control/daemon/tcp_options.h"
#include "vmm/error.h"

namespace ensemble::control {

struct DaemonOptions {
  // The Unix socket's path, unless systemd has passed one.
  std::string socket;
  // Where devices and what is known of them are kept; made if it is not there.
  std::string state_directory;
  // Users who may connect beside this process's and root, and what they may do.
  std::map<uid_t, Role> users;
  // Absent: no port is open.
  std::optional<TcpOptions> tcp;
  // Where Prometheus may read figures, on loopback; absent: nowhere.
  std::optional<TcpAddress> metrics;
  Quotas quotas;
  // Of the devices' processes.
  std::string log_level;
};

// Serves until SIGTERM or SIGINT. Devices go on then. The Error says what kept it from serving.
Result<void> run_daemon(const DaemonOptions& options);

}  // namespace ensemble::control
