#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "control/daemon/api_error.h"
#include "control/daemon/device_table.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// The daemon's connections to the consoles that somebody types at: one for each device, however
// many type, since a process has room for one. What comes back is read from the console's log
// instead, which has all of it. Belongs to the event loop's thread.
class ConsoleInputs {
 public:
  ConsoleInputs(vmm::EventLoop& loop, DeviceTable& devices);
  ~ConsoleInputs();

  // Types `text` at the device's console; calls `done` once there is room for more.
  void type(const std::string& device, std::string text,
            std::function<void(ApiResult<void> result)> done);

  // Drops the connection of a device.
  void close(const std::string& device);

 private:
  class Connection;
  ApiResult<Connection*> connection(const std::string& device);

  vmm::EventLoop& loop_;
  DeviceTable& devices_;
  std::map<std::string, std::unique_ptr<Connection>> connections_;
};

}  // namespace ensemble::control
