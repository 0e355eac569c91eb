#include "control/libvirt/libvirt_machine.h"

#include <signal.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <utility>

#include "control/engine.h"
#include "control/libvirt/domain_xml.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;

// What the guest writes to the power port (docs/machine.md).
constexpr char kPowerOff = 0x55;
constexpr char kReset = 0x77;
constexpr std::size_t kLastLogLines = 12;

// Whether a domain shall use KVM. The Error says that there is no QEMU at all.
Result<bool> choose_kvm(virConnect& connection, const proto::Configuration& configuration) {
  if (!configuration.emulate_processor() && check_domains(connection, "kvm")) {
    return true;
  }
  if (auto offered = check_domains(connection, "qemu"); !offered) {
    return std::unexpected(offered.error());
  }
  return false;
}

// Where libvirt keeps what QEMU printed; empty: not known.
std::string log_path(const std::string& uri, const std::string& folder, const std::string& name) {
  const std::string file = "/qemu/" + name + ".log";
  if (uri.empty()) {
    return folder + "/libvirt/log" + file;
  }
  if (uri.find("/system") != std::string::npos) {
    return "/var/log/libvirt" + file;
  }
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const std::string base = cache != nullptr  ? cache
                           : home != nullptr ? std::string(home) + "/.cache"
                                             : "";
  return base.empty() ? "" : base + "/libvirt/qemu/log/" + name + ".log";
}

}  // namespace

Result<void> LibvirtEngine::connect(const proto::Configuration& configuration) {
  auto folder = RuntimeFolder::create();
  if (!folder) {
    return std::unexpected(folder.error());
  }
  folder_ = std::move(*folder);
  auto connection = connect_to_libvirt(configuration.libvirt_uri(), folder_->path());
  if (!connection) {
    return std::unexpected(connection.error());
  }
  connection_ = std::move(*connection);
  return {};
}

Result<std::unique_ptr<DeviceMachine>> LibvirtEngine::make(
    const proto::Configuration& configuration, vmm::EventLoop& loop, ConsolePort& console,
    device::PortBackend* agent) {
  if (!connection_) {
    if (auto connected = connect(configuration); !connected) {
      return std::unexpected(connected.error());
    }
  }
  auto written = write_initial_ramdisk(configuration, clock_.frequency(),
                                       folder_->path() + "/initial-ramdisk");
  if (!written) {
    return std::unexpected(written.error());
  }
  return LibvirtMachine::create(configuration, loop, console, agent, *connection_, *folder_);
}

Result<std::unique_ptr<LibvirtMachine>> LibvirtMachine::create(
    const proto::Configuration& configuration, vmm::EventLoop& loop, ConsolePort& console,
    device::PortBackend* agent, virConnect& connection, const RuntimeFolder& folder) {
  std::unique_ptr<LibvirtMachine> machine(new LibvirtMachine(loop, console, connection, folder));
  const std::string& path = folder.path();
  DomainOptions options;
  // The directory's random part tells the domains of a connection apart.
  options.name = "ensemble-" + path.substr(path.rfind('-') + 1);
  options.initial_ramdisk = path + "/initial-ramdisk";
  const auto use_kvm = choose_kvm(connection, configuration);
  if (!use_kvm) {
    return std::unexpected(use_kvm.error());
  }
  options.use_kvm = *use_kvm;
  options.console_socket = path + "/console";
  options.serial_socket = path + "/serial";
  options.power_socket = path + "/power";
  options.port_socket = path + "/agent";
  auto xml = domain_xml(configuration, options);
  if (!xml) {
    return std::unexpected(xml.error());
  }
  machine->name_ = options.name;
  machine->uri_ = configuration.libvirt_uri();
  machine->xml_ = std::move(*xml);
  if (auto listens = machine->listen(agent); !listens) {
    return std::unexpected(listens.error());
  }
  return machine;
}

LibvirtMachine::~LibvirtMachine() {
  console_port_.set_handlers(nullptr, nullptr);
  unwatch_domain();
  if (domain_ && state_ != vmm::MachineState::kStopped) {
    virDomainDestroy(domain_.get());
  }
}

Result<void> LibvirtMachine::listen(device::PortBackend* agent) {
  const auto closed = [this] { report_stop(); };
  const auto relay = [this](const char* name, bool takes_input, ConsoleRelay::Handlers handlers) {
    return ConsoleRelay::create(loop_, console_port_, folder_.path() + name, takes_input,
                                std::move(handlers));
  };
  auto console = relay(
      "/console", true,
      {.bytes = {}, .connected = [this](pid_t process) { qemu_ = process; }, .closed = closed});
  auto serial = relay("/serial", false, {.bytes = {}, .connected = {}, .closed = closed});
  auto power = relay("/power", false,
                     {.bytes = [this](std::string_view bytes) { power_bytes(bytes); },
                      .connected = {},
                      .closed = closed});
  for (const auto* made : {&console, &serial, &power}) {
    if (!*made) {
      return std::unexpected(made->error());
    }
  }
  console_ = std::move(*console);
  serial_ = std::move(*serial);
  power_ = std::move(*power);
  if (agent != nullptr) {
    auto relayed = AgentRelay::create(loop_, *agent, folder_.path() + "/agent");
    if (!relayed) {
      return std::unexpected(relayed.error());
    }
    agent_ = std::move(*relayed);
  }
  console_port_.set_handlers(
      [this] {
        serial_->move_output();
        console_->move_output();
      },
      [this] { console_->move_input(); });
  return {};
}

Result<void> LibvirtMachine::start() {
  if (domain_ || state_ == vmm::MachineState::kStopped) {
    return fail("the device has been started before");
  }
  // The driver in this process does not have it; the directory's guard ends QEMU either way.
  const unsigned flags = uri_.empty() ? 0U : unsigned{VIR_DOMAIN_START_AUTODESTROY};
  domain_.reset(virDomainCreateXML(&connection_, xml_.c_str(), flags));
  if (!domain_) {
    const Error error = libvirt_error("libvirt cannot start the device");
    log_last_words();
    return std::unexpected(error);
  }
  set_state(vmm::MachineState::kRunning);
  if (auto watched = watch_domain(); !watched) {
    return watched;
  }
  // What happened before it was watched.
  if (virDomainIsActive(domain_.get()) == 0) {
    domain_stopped(VIR_DOMAIN_EVENT_STOPPED_FAILED);
  }
  return {};
}

void LibvirtMachine::set_state(vmm::MachineState state) {
  state_ = state;
  if (agent_ && state == vmm::MachineState::kRunning) {
    agent_->admit();
  } else if (agent_) {
    agent_->hold();
  }
}

Result<void> LibvirtMachine::watch_domain() {
  const auto reference = [this] { return new Reference{&loop_, self_}; };
  const auto drop = [](void* opaque) { delete static_cast<Reference*>(opaque); };
  event_id_ = virConnectDomainEventRegisterAny(
      &connection_, domain_.get(), VIR_DOMAIN_EVENT_ID_LIFECYCLE,
      VIR_DOMAIN_EVENT_CALLBACK(&LibvirtMachine::lifecycle_event), reference(), drop);
  if (event_id_ < 0) {
    return std::unexpected(libvirt_error("cannot watch the domain"));
  }
  // The driver in this process has no connection that could be lost.
  watches_connection_ = virConnectRegisterCloseCallback(
                            &connection_, &LibvirtMachine::connection_lost, reference(), drop) == 0;
  return {};
}

void LibvirtMachine::unwatch_domain() {
  if (event_id_ >= 0) {
    virConnectDomainEventDeregisterAny(&connection_, std::exchange(event_id_, -1));
  }
  if (std::exchange(watches_connection_, false)) {
    virConnectUnregisterCloseCallback(&connection_, &LibvirtMachine::connection_lost);
  }
}

int LibvirtMachine::lifecycle_event(virConnect*, virDomain*, int event, int detail,
                                    void* reference) {
  const auto& to = *static_cast<Reference*>(reference);
  to.loop->post([machine = to.machine, event, detail] {
    const auto there = machine.lock();
    if (!there) {
      return;
    }
    if (event == VIR_DOMAIN_EVENT_STOPPED) {
      (*there)->domain_stopped(detail);
    } else if (event == VIR_DOMAIN_EVENT_SUSPENDED &&
               (*there)->state_ == vmm::MachineState::kRunning) {
      (*there)->set_state(vmm::MachineState::kPaused);
    } else if (event == VIR_DOMAIN_EVENT_RESUMED &&
               (*there)->state_ == vmm::MachineState::kPaused) {
      (*there)->set_state(vmm::MachineState::kRunning);
    }
  });
  return 0;
}

void LibvirtMachine::connection_lost(virConnect*, int, void* reference) {
  const auto& to = *static_cast<Reference*>(reference);
  to.loop->post([machine = to.machine] {
    if (const auto there = machine.lock()) {
      (*there)->lose("the connection to libvirt was lost");
    }
  });
}

Result<void> LibvirtMachine::pause() {
  if (state_ != vmm::MachineState::kRunning) {
    return fail("the device does not run");
  }
  if (virDomainSuspend(domain_.get()) != 0) {
    return std::unexpected(libvirt_error("libvirt cannot pause the device"));
  }
  set_state(vmm::MachineState::kPaused);
  return {};
}

Result<void> LibvirtMachine::resume() {
  if (!domain_ || state_ != vmm::MachineState::kPaused) {
    return fail("the device is not paused");
  }
  if (virDomainResume(domain_.get()) != 0) {
    return std::unexpected(libvirt_error("libvirt cannot resume the device"));
  }
  set_state(vmm::MachineState::kRunning);
  return {};
}

void LibvirtMachine::stop(const vmm::StopReason& reason) {
  if (state_ == vmm::MachineState::kStopped) {
    return;
  }
  set_state(vmm::MachineState::kStopped);
  reason_ = reason;
  if (domain_ && virDomainDestroy(domain_.get()) != 0 && virDomainIsActive(domain_.get()) != 0) {
    spdlog::warn("{}", libvirt_error("libvirt cannot stop the device; QEMU is killed").message());
    if (qemu_ > 0) {
      ::kill(qemu_, SIGKILL);
    }
  }
  // What it printed last is still in the sockets.
  for (ConsoleRelay* relay : {console_.get(), serial_.get(), power_.get()}) {
    relay->give_up();
  }
  report_stop();
}

void LibvirtMachine::domain_stopped(int detail) {
  if (state_ == vmm::MachineState::kStopped) {
    return;
  }
  log_last_words();
  stop({.kind = vmm::StopReason::Kind::kInternalError,
        .detail = detail == VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN
                      ? "the guest reset its processor without saying so, as after a triple fault"
                  : detail == VIR_DOMAIN_EVENT_STOPPED_DESTROYED
                      ? "the domain was destroyed by somebody else"
                      : "QEMU ended unexpectedly"});
}

void LibvirtMachine::lose(const std::string& sentence) {
  if (state_ == vmm::MachineState::kStopped) {
    return;
  }
  log_last_words();
  stop({.kind = vmm::StopReason::Kind::kInternalError, .detail = sentence});
}

void LibvirtMachine::power_bytes(std::string_view bytes) {
  power_order_ += bytes;
  if (power_order_.starts_with(kReset)) {
    stop({.kind = vmm::StopReason::Kind::kResetRequested, .detail = {}});
  } else if (power_order_.starts_with(kPowerOff) && power_order_.size() >= 2) {
    stop({.kind = vmm::StopReason::Kind::kPowerOff,
          .exit_code = static_cast<std::uint8_t>(power_order_[1]),
          .detail = {}});
  } else if (power_order_.size() >= 2) {
    power_order_.clear();  // The guest may write anything.
  }
}

// Once the machine has stopped and its output was taken.
void LibvirtMachine::report_stop() {
  const bool is_done = state_ == vmm::MachineState::kStopped && console_->closed() &&
                       serial_->closed() && power_->closed();
  if (is_done && on_stop_) {
    loop_.post([handler = std::exchange(on_stop_, nullptr), reason = reason_] { handler(reason); });
  }
}

void LibvirtMachine::log_last_words() const {
  std::ifstream log(log_path(uri_, folder_.path(), name_));
  std::deque<std::string> lines;
  for (std::string line; std::getline(log, line);) {
    lines.push_back(line);
    if (lines.size() > kLastLogLines) {
      lines.pop_front();
    }
  }
  for (const std::string& line : lines) {
    spdlog::error("QEMU: {}", line);
  }
}

}  // namespace ensemble::control
