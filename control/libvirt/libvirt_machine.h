#pragma once

#include <memory>
#include <string>

#include "control/console_port.h"
#include "control/device_machine.h"
#include "control/libvirt/agent_relay.h"
#include "control/libvirt/console_relay.h"
#include "control/libvirt/initial_ramdisk.h"
#include "control/libvirt/libvirt_connection.h"
#include "control/libvirt/runtime_folder.h"
#include "device-model/virtio/port_backend.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"

namespace ensemble::control {

// Makes the machines of one process, one after the other: the connection to libvirt and the
// directory outlast a reset.
class LibvirtEngine {
 public:
  Result<std::unique_ptr<DeviceMachine>> make(const ensemble::vmm::v1::Configuration& configuration,
                                              vmm::EventLoop& loop, ConsolePort& console,
                                              device::PortBackend* agent);

 private:
  Result<void> connect(const ensemble::vmm::v1::Configuration& configuration);

  ClockMeasurement clock_ = ClockMeasurement::begin();
  std::unique_ptr<RuntimeFolder> folder_;
  LibvirtConnection connection_;
};

// A domain of libvirt as a device's machine. Calls of libvirt block the event loop's thread, which
// serves this device only; its events come on another thread and are posted.
class LibvirtMachine final : public DeviceMachine {
 public:
  // All but `configuration` outlive the machine; the initial RAM disk is in `folder`, and `agent`
  // is null where the configuration has no port.
  static Result<std::unique_ptr<LibvirtMachine>> create(
      const ensemble::vmm::v1::Configuration& configuration, vmm::EventLoop& loop,
      ConsolePort& console, device::PortBackend* agent, virConnect& connection,
      const RuntimeFolder& folder);
  ~LibvirtMachine() override;

  vmm::MachineState state() const override { return state_; }
  Result<void> start() override;
  Result<void> pause() override;
  Result<void> resume() override;
  void stop(const vmm::StopReason& reason) override;
  void set_stop_handler(StopHandler handler) override { on_stop_ = std::move(handler); }
  // QEMU 7.2 has no way to tell it to the guest.
  void resize_console(const ensemble::vmm::v1::ConsoleSize&) override {}
  Result<void> send_input(const ensemble::vmm::v1::SendInput&) override {
    return fail("a device on QEMU has no input devices");
  }
  Result<void> set_balloon(std::uint64_t) override {
    return fail("a device on QEMU has no memory balloon");
  }
  Result<void> press_power_button() override {
    return fail("a device on QEMU has no power button");
  }
  ensemble::vmm::v1::Measurements measure(const ensemble::vmm::v1::Configuration&) const override {
    return {};
  }

 private:
  // Reaches the machine from libvirt's thread as long as it is there.
  struct Reference {
    vmm::EventLoop* loop = nullptr;
    std::weak_ptr<LibvirtMachine*> machine;
  };

  LibvirtMachine(vmm::EventLoop& loop, ConsolePort& console, virConnect& connection,
                 const RuntimeFolder& folder)
      : loop_(loop), console_port_(console), connection_(connection), folder_(folder) {}

  Result<void> listen(device::PortBackend* agent);
  void set_state(vmm::MachineState state);
  Result<void> watch_domain();
  void unwatch_domain();
  static int lifecycle_event(virConnect*, virDomain*, int event, int detail, void* reference);
  static void connection_lost(virConnect*, int reason, void* reference);
  void domain_stopped(int detail);
  void lose(const std::string& sentence);
  void power_bytes(std::string_view bytes);
  void report_stop();
  void log_last_words() const;

  vmm::EventLoop& loop_;
  ConsolePort& console_port_;
  virConnect& connection_;
  const RuntimeFolder& folder_;
  std::string name_;
  std::string xml_;
  std::string uri_;
  LibvirtDomain domain_;
  int event_id_ = -1;
  bool watches_connection_ = false;
  pid_t qemu_ = 0;
  std::unique_ptr<ConsoleRelay> console_;
  std::unique_ptr<ConsoleRelay> serial_;
  std::unique_ptr<ConsoleRelay> power_;
  std::string power_order_;
  std::unique_ptr<AgentRelay> agent_;  // Null: no port.
  vmm::MachineState state_ = vmm::MachineState::kPaused;
  vmm::StopReason reason_;
  StopHandler on_stop_;
  std::shared_ptr<LibvirtMachine*> self_ = std::make_shared<LibvirtMachine*>(this);
};

}  // namespace ensemble::control
