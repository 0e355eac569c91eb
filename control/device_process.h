#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "control/agent_port.h"
#include "control/console_port.h"
#include "control/controllers.h"
#include "control/device_machine.h"
#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "control/loop_timer.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// What ensemble-vmm is: one device, which obeys the requests of its controllers (protocol
// ensemble.vmm.v1). It ends when the machine has stopped and its output was sent. Runs on its
// event loop; not thread-safe.
class DeviceProcess {
 public:
  // A process for one controller, which ends at once when that one closes its socket. Takes
  // ownership of both sockets. `make` makes the machine, and another one for each reset.
  static Result<std::unique_ptr<DeviceProcess>> create(vmm::FileDescriptor control,
                                                       vmm::FileDescriptor console,
                                                       MachineMaker make);

  // A process for the controllers that connect to the listening socket `listener`, which it
  // outlives. In the directory `folder` it keeps what they need later: "console.log" (ConsoleLog)
  // and, once the machine has stopped, "stopped.pb" (the message Stopped). A device with a port
  // has its socket there: "agent.sock".
  static Result<std::unique_ptr<DeviceProcess>> create_served(vmm::FileDescriptor listener,
                                                              std::string folder,
                                                              MachineMaker make);
  ~DeviceProcess();

  // Serves the controller until the end. An Error when the controller broke the protocol.
  Result<void> run();

  // Stops the machine as if the controller had asked for it. Any thread.
  void request_stop();

 private:
  DeviceProcess(std::unique_ptr<vmm::EventLoop> loop, MachineMaker make)
      : loop_(std::move(loop)), make_(std::move(make)) {}

  Controllers::Handlers handlers();
  void obey(FramedSocket& link, const ensemble::vmm::v1::Request& request);
  void attach_console(FramedSocket& link, ensemble::vmm::v1::FromVmm reply);
  Result<void> reset();
  Result<void> configure(const ensemble::vmm::v1::Configuration& configuration);
  Result<void> with_machine(Result<void> (DeviceMachine::*action)());
  Result<void> resize_console(const ensemble::vmm::v1::ConsoleSize& size);
  Result<void> set_balloon(std::uint64_t bytes);
  Result<void> stop(std::chrono::milliseconds patience);
  Result<void> press_power_button();
  Result<void> make_machine();
  Result<void> make_agent_port();
  void machine_stopped(const vmm::StopReason& reason);
  void reset_machine();
  void end(ensemble::vmm::v1::Stopped stopped);
  ensemble::vmm::v1::Status status() const;
  void keep(const ensemble::vmm::v1::Stopped& stopped) const;

  std::unique_ptr<vmm::EventLoop> loop_;
  MachineMaker make_;
  std::string folder_;  // Empty: the process is not served.
  std::unique_ptr<Controllers> controllers_;
  std::unique_ptr<ConsolePort> console_;
  std::unique_ptr<AgentPort> agent_;  // Null: the machine has no port, or the process no folder.
  std::optional<ensemble::vmm::v1::Configuration> configuration_;
  std::unique_ptr<DeviceMachine> machine_;
  bool started_ = false;  // Once, in this process; a reset does not change it.
  bool ending_ = false;
  bool stop_requested_ = false;            // A reset does not start the machine again.
  std::unique_ptr<LoopTimer> stop_timer_;  // Of a guest that is to power off by itself.
  std::optional<Error> protocol_error_;
};

}  // namespace ensemble::control
