#include "control/device_process.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "control/atomic_file.h"
#include "control/folder_socket.h"
#include "control/served_process.h"
#include "vmm/machine.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;

// Who connects to the agent's port while somebody is there waits here.
constexpr int kAgentBacklog = 4;

// How long each controller may take to read what it was told at the end.
constexpr std::chrono::seconds kLastWords{5};

proto::State to_proto(vmm::MachineState state) {
  switch (state) {
    case vmm::MachineState::kPaused:
      return proto::STATE_PAUSED;
    case vmm::MachineState::kRunning:
      return proto::STATE_RUNNING;
    case vmm::MachineState::kStopped:
      return proto::STATE_STOPPED;
  }
  return proto::STATE_UNSPECIFIED;
}

proto::StopReason to_proto(vmm::StopReason::Kind kind) {
  switch (kind) {
    case vmm::StopReason::Kind::kPowerOff:
      return proto::STOP_REASON_POWER_OFF;
    case vmm::StopReason::Kind::kResetRequested:
      return proto::STOP_REASON_RESET;
    case vmm::StopReason::Kind::kStoppedFromOutside:
      return proto::STOP_REASON_REQUESTED;
    case vmm::StopReason::Kind::kTripleFault:
    case vmm::StopReason::Kind::kInternalError:
      break;
  }
  return proto::STOP_REASON_FAILED;
}

}  // namespace

Result<std::unique_ptr<DeviceProcess>> DeviceProcess::create(vmm::FileDescriptor control,
                                                             vmm::FileDescriptor console,
                                                             MachineMaker make) {
  auto loop = vmm::EventLoop::create();
  if (!loop) {
    return std::unexpected(loop.error());
  }
  std::unique_ptr<DeviceProcess> process(new DeviceProcess(std::move(*loop), std::move(make)));
  auto port = ConsolePort::create(*process->loop_, std::move(console));
  if (!port) {
    return std::unexpected(port.error());
  }
  process->console_ = std::move(*port);
  auto controllers =
      Controllers::with_one(*process->loop_, std::move(control), process->handlers());
  if (!controllers) {
    return std::unexpected(controllers.error());
  }
  process->controllers_ = std::move(*controllers);
  return process;
}

Result<std::unique_ptr<DeviceProcess>> DeviceProcess::create_served(vmm::FileDescriptor listener,
                                                                    std::string folder,
                                                                    MachineMaker make) {
  auto loop = vmm::EventLoop::create();
  if (!loop) {
    return std::unexpected(loop.error());
  }
  std::unique_ptr<DeviceProcess> process(new DeviceProcess(std::move(*loop), std::move(make)));
  process->folder_ = std::move(folder);
  auto log = ConsoleLog::open(process->folder_ + "/console.log");
  if (!log) {
    return std::unexpected(log.error());
  }
  process->console_ = ConsolePort::create_logged(*process->loop_, std::move(*log));
  auto controllers =
      Controllers::listening(*process->loop_, std::move(listener), process->handlers());
  if (!controllers) {
    return std::unexpected(controllers.error());
  }
  process->controllers_ = std::move(*controllers);
  return process;
}

DeviceProcess::~DeviceProcess() = default;

Controllers::Handlers DeviceProcess::handlers() {
  return {
      .request = [this](FramedSocket& link, const proto::Request& request) { obey(link, request); },
      .alone =
          [this](const std::optional<Error>& error) {
            // Nobody is left to run for.
            protocol_error_ = error;
            loop_->stop();
          }};
}

Result<void> DeviceProcess::run() {
  auto ran = loop_->run();
  controllers_->flush(kLastWords);
  if (!ran) {
    return ran;
  }
  if (protocol_error_) {
    return std::unexpected(*protocol_error_);
  }
  return {};
}

void DeviceProcess::request_stop() {
  loop_->post([this] { (void)stop({}); });
}

void DeviceProcess::obey(FramedSocket& link, const proto::Request& request) {
  Result<void> done;
  proto::FromVmm answer;
  proto::Reply& reply = *answer.mutable_reply();
  reply.set_id(request.id());
  switch (request.body_case()) {
    case proto::Request::kConfigure:
      done = configure(request.configure().configuration());
      break;
    case proto::Request::kStart:
      done = with_machine(&DeviceMachine::start);
      started_ = started_ || done.has_value();
      break;
    case proto::Request::kPause:
      done = with_machine(&DeviceMachine::pause);
      break;
    case proto::Request::kResume:
      done = with_machine(&DeviceMachine::resume);
      break;
    case proto::Request::kStop:
      done = stop(std::chrono::milliseconds(request.stop().patience_ms()));
      break;
    case proto::Request::kReset:
      done = reset();
      break;
    case proto::Request::kGetStatus:
      *reply.mutable_status() = status();
      break;
    case proto::Request::kGetMeasurements:
      if (machine_) {
        *reply.mutable_measurements() = machine_->measure(*configuration_);
      } else {
        done = fail("the device is not configured");
      }
      break;
    case proto::Request::kResizeConsole:
      done = resize_console(request.resize_console().size());
      break;
    case proto::Request::kSendInput:
      done = machine_ ? machine_->send_input(request.send_input())
                      : fail("the device is not configured");
      break;
    case proto::Request::kSetBalloon:
      done = set_balloon(request.set_balloon().bytes());
      break;
    case proto::Request::kPressPowerButton:
      done = press_power_button();
      break;
    case proto::Request::kAttachConsole:
      attach_console(link, std::move(answer));
      return;
    case proto::Request::BODY_NOT_SET:
      done =
          fail("request {} asks for nothing that this version of ensemble-vmm knows", request.id());
      break;
  }
  if (!done) {
    reply.mutable_failure()->set_message(done.error().message());
  } else if (reply.body_case() == proto::Reply::BODY_NOT_SET) {
    reply.mutable_done();
  }
  link.send(answer);
}

void DeviceProcess::attach_console(FramedSocket& link, proto::FromVmm answer) {
  if (folder_.empty()) {
    answer.mutable_reply()->mutable_failure()->set_message(
        "the console of a process that is not served is its second socket");
    link.send(answer);
    return;
  }
  answer.mutable_reply()->mutable_done();
  link.send(answer);
  vmm::FileDescriptor socket = link.release();
  if (!socket) {
    return;  // It sends before it has read the reply: its requests are served as before.
  }
  if (auto attached = console_->attach(std::move(socket)); !attached) {
    spdlog::warn("{}", attached.error().message());
  }
}

Result<void> DeviceProcess::reset() {
  if (!started_ || ending_) {
    return fail("the device does not run");
  }
  machine_->stop({.kind = vmm::StopReason::Kind::kResetRequested, .detail = {}});
  return {};
}

Result<void> DeviceProcess::configure(const proto::Configuration& configuration) {
  if (configuration.protocol_version() != kProtocolVersion) {
    return fail("the controller speaks version {} of the protocol and ensemble-vmm version {}",
                configuration.protocol_version(), kProtocolVersion);
  }
  if (configuration_) {
    return fail("the device is already configured");
  }
  configuration_ = configuration;
  auto made = make_machine();
  if (!made) {
    configuration_.reset();
  }
  return made;
}

Result<void> DeviceProcess::with_machine(Result<void> (DeviceMachine::*action)()) {
  if (!machine_) {
    return fail("the device is not configured");
  }
  const vmm::MachineState before = machine_->state();
  if (auto done = ((*machine_).*action)(); !done) {
    return done;
  }
  if (const vmm::MachineState after = machine_->state(); after != before) {
    proto::FromVmm message;
    message.mutable_event()->set_state_changed(to_proto(after));
    controllers_->tell(message);
  }
  return {};
}

Result<void> DeviceProcess::resize_console(const proto::ConsoleSize& size) {
  if (!machine_) {
    return fail("the device is not configured");
  }
  // Also for the machine after a reset.
  for (proto::Device& device : *configuration_->mutable_devices()) {
    if (device.virtio_console().has_size()) {
      *device.mutable_virtio_console()->mutable_size() = size;
    }
  }
  machine_->resize_console(size);
  return {};
}

Result<void> DeviceProcess::set_balloon(std::uint64_t bytes) {
  if (!machine_) {
    return fail("the device is not configured");
  }
  auto set = machine_->set_balloon(bytes);
  // Also for the machine after a reset.
  for (proto::Device& device : *configuration_->mutable_devices()) {
    if (set && device.has_virtio_balloon()) {
      device.mutable_virtio_balloon()->set_target_bytes(bytes);
    }
  }
  return set;
}

Result<void> DeviceProcess::press_power_button() {
  return machine_ ? machine_->press_power_button() : fail("the device is not configured");
}

Result<void> DeviceProcess::stop(std::chrono::milliseconds patience) {
  stop_requested_ = true;
  if (ending_) {
    return {};  // There may be no machine any more.
  }
  if (started_ && patience.count() > 0 && press_power_button()) {
    auto timer = LoopTimer::create(*loop_, [this] { (void)stop({}); });
    if (timer) {
      stop_timer_ = std::move(*timer);
      stop_timer_->set(patience);
      return {};
    }
  }
  if (started_) {
    machine_->stop({.kind = vmm::StopReason::Kind::kStoppedFromOutside, .detail = {}});
  } else {
    proto::Stopped stopped;
    stopped.set_reason(proto::STOP_REASON_REQUESTED);
    end(std::move(stopped));
  }
  return {};
}

// Once: after a reset those who are connected wait for the new machine's agent.
Result<void> DeviceProcess::make_agent_port() {
  const auto& devices = configuration_->devices();
  if (agent_ || folder_.empty() || std::ranges::none_of(devices, &proto::Device::has_virtio_port)) {
    return {};
  }
  auto socket = listen_in_folder(folder_, kAgentSocketName, kAgentBacklog);
  if (!socket) {
    return std::unexpected(socket.error());
  }
  auto port = AgentPort::create(*loop_, std::move(*socket));
  if (!port) {
    return std::unexpected(port.error());
  }
  agent_ = std::move(*port);
  return {};
}

Result<void> DeviceProcess::make_machine() {
  if (auto made = make_agent_port(); !made) {
    return made;
  }
  auto assembled = make_(*configuration_, *loop_, *console_, agent_.get());
  if (!assembled) {
    return std::unexpected(assembled.error());
  }
  machine_ = std::move(*assembled);
  machine_->set_stop_handler([this](const vmm::StopReason& reason) { machine_stopped(reason); });
  return {};
}

void DeviceProcess::machine_stopped(const vmm::StopReason& reason) {
  if (ending_) {
    return;
  }
  if (reason.kind == vmm::StopReason::Kind::kResetRequested) {
    // Not from here: the machine that is calling would be destroyed.
    loop_->post([this] { reset_machine(); });
    return;
  }
  proto::Stopped stopped;
  stopped.set_reason(to_proto(reason.kind));
  stopped.set_exit_code(reason.exit_code);
  if (stopped.reason() == proto::STOP_REASON_FAILED) {
    stopped.set_message(reason.to_string());
  }
  *stopped.mutable_measurements() = machine_->measure(*configuration_);
  end(std::move(stopped));
}

void DeviceProcess::reset_machine() {
  if (stop_requested_) {
    proto::Stopped stopped;
    stopped.set_reason(proto::STOP_REASON_REQUESTED);
    end(std::move(stopped));
    return;
  }
  machine_.reset();
  configuration_->set_started_at_ns(
      static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()));
  auto made = make_machine();
  if (made) {
    made = machine_->start();
  }
  if (!made) {
    proto::Stopped stopped;
    stopped.set_reason(proto::STOP_REASON_FAILED);
    stopped.set_message(made.error().with_context("the device cannot start again").message());
    end(std::move(stopped));
  }
}

void DeviceProcess::end(proto::Stopped stopped) {
  ending_ = true;
  console_->when_drained([this, stopped = std::move(stopped)] {
    proto::FromVmm message;
    *message.mutable_event()->mutable_stopped() = stopped;
    keep(stopped);
    controllers_->tell(message);
    loop_->stop();
  });
}

proto::Status DeviceProcess::status() const {
  proto::Status status;
  status.set_process_id(static_cast<std::uint32_t>(::getpid()));
  if (!machine_) {
    status.set_state(proto::STATE_EMPTY);
    return status;
  }
  status.set_state(to_proto(machine_->state()));
  status.set_name(configuration_->name());
  status.set_vcpus(configuration_->vcpus());
  status.set_memory_bytes(configuration_->memory_bytes());
  return status;
}

void DeviceProcess::keep(const proto::Stopped& stopped) const {
  if (folder_.empty()) {
    return;
  }
  auto written = write_file_atomically(folder_ + "/stopped.pb", stopped.SerializeAsString());
  if (!written) {
    spdlog::error("{}", written.error().message());
  }
}

}  // namespace ensemble::control
