// What callers ask of a device.

#include "control/daemon/managed_device.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "control/daemon/device_launch.h"
#include "control/daemon/device_record.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;

// How long a guest with a power button may take to power off after a press.
constexpr std::chrono::seconds kPowerOffPatience{10};
// How long a process may take to end once its machine is told to stop.
constexpr std::chrono::seconds kEndPatience{10};
// How long it may take to make its machine, which reads files of any size.
constexpr std::chrono::seconds kStartPatience{30};
// libvirt first asks QEMU what it can do, and the host may be busy with others.
constexpr std::chrono::seconds kQemuStartPatience{120};

proto::Request request_of(void (*set)(proto::Request&)) {
  proto::Request request;
  set(request);
  return request;
}

std::unexpected<ApiError> no_answer(const v1::Device& record) {
  return std::unexpected(
      ApiError(grpc::UNAVAILABLE, "PROCESS_SILENT",
               fmt::format("the process of {} does not answer; try again", record.name())));
}

}  // namespace

ManagedDevice::ManagedDevice(DeviceSurroundings& surroundings, v1::Device record)
    : surroundings_(surroundings), record_(std::move(record)) {}

ManagedDevice::~ManagedDevice() = default;

ApiResult<void> ManagedDevice::require(std::initializer_list<v1::DeviceState> states,
                                       const char* verb) const {
  const v1::DeviceState state = record_.status().state();
  if (std::ranges::find(states, state) != states.end()) {
    return {};
  }
  std::string wanted;
  for (const v1::DeviceState each : states) {
    wanted += (wanted.empty() ? "" : " or ") + state_name(each);
  }
  return std::unexpected(ApiError(grpc::FAILED_PRECONDITION, "WRONG_STATE",
                                  fmt::format("cannot {} {}: it is {}, not {}", verb,
                                              record_.name(), state_name(state), wanted))
                             .about("device.status.state", state_name(state), wanted));
}

void ManagedDevice::start(Done done) {
  if (record_.status().state() == v1::DEVICE_STATE_STARTING) {
    start_waiting_.push_back(std::move(done));
    return;
  }
  auto fits = require({v1::DEVICE_STATE_CREATED, v1::DEVICE_STATE_STOPPED, v1::DEVICE_STATE_FAILED},
                      "start");
  if (!fits) {
    done(fits);
    return;
  }
  begin(0, std::move(done));
}

void ManagedDevice::begin(std::uint32_t restarts, Done done) {
  const v1::DeviceStatus before = record_.status();
  std::string problem;
  const v1::Engine engine = choose_engine(record_, problem);
  auto configuration = prepare(engine);
  if (!configuration) {
    done(std::unexpected(configuration.error()));
    return;
  }
  v1::DeviceStatus& status = *record_.mutable_status();
  status.Clear();
  status.set_engine(engine);
  for (std::string& name : unavailable_with(engine)) {
    status.add_unavailable(std::move(name));
  }
  status.set_processors(configuration->vcpus());
  status.set_memory_bytes(configuration->memory_bytes());
  status.set_restarts(restarts);
  *status.mutable_start_time() = now();
  // Stored first: a process that nobody knows would never be found again.
  if (auto stored = become(v1::DEVICE_STATE_STARTING); !stored) {
    *record_.mutable_status() = before;
    done(stored);
    return;
  }
  if (!problem.empty()) {
    spdlog::warn("{}: KVM cannot be used ({}): QEMU emulates the processor, which is slow",
                 record_.name(), problem);
  }
  restart_timer_.reset();
  stop_requested_ = false;
  start_waiting_.push_back(std::move(done));
  auto launched = launch(std::move(*configuration));
  if (!launched && !process_.handle) {
    (void)become(v1::DEVICE_STATE_FAILED, launched.error().message());
    finish(start_waiting_, launched);
  } else if (!launched) {
    record_.mutable_status()->set_state_reason(launched.error().message());
    kill_process();
  }
}

ApiResult<proto::Configuration> ManagedDevice::prepare(v1::Engine engine) {
  auto profile = surroundings_.profile(record_.spec().profile());
  if (!profile) {
    return std::unexpected(profile.error());
  }
  auto configuration = launch_configuration(record_, engine, *profile, surroundings_.files);
  if (!configuration) {
    return configuration;
  }
  if (auto admitted = surroundings_.admit(record_, configuration->memory_bytes()); !admitted) {
    return std::unexpected(admitted.error());
  }
  // How an earlier process stopped says nothing about this one.
  const std::string stopped = folder() + "/" + kStoppedName;
  if (::unlink(stopped.c_str()) != 0 && errno != ENOENT) {
    return internal(Error::from_errno("cannot remove '" + stopped + "'", errno));
  }
  return configuration;
}

ApiResult<void> ManagedDevice::launch(proto::Configuration configuration) {
  if (::mkdir(folder().c_str(), 0700) != 0 && errno != EEXIST) {
    return internal(Error::from_errno("cannot make the directory '" + folder() + "'", errno));
  }
  const bool is_domain = record_.status().engine() == v1::ENGINE_LIBVIRT;
  auto process =
      start_served_process({.executable = is_domain ? surroundings_.files.libvirt_executable()
                                                    : surroundings_.files.vmm_executable(),
                            .folder = folder(),
                            .log_level = surroundings_.log_level});
  if (!process) {
    return internal(process.error());
  }
  process_ = std::move(*process);
  record_.mutable_status()->set_process_id(static_cast<std::uint32_t>(process_.id));
  configuration.set_started_at_ns(process_.started_at_ns);
  watch_process();
  // Before it has the device's memory. QEMU has a size of its own.
  if (!is_domain) {
    hold_to_limits();
  }
  if (auto connected = connect(); !connected) {
    return internal(connected.error());
  }
  ask_to_start(std::move(configuration));
  return {};
}

void ManagedDevice::ask_to_start(proto::Configuration configuration) {
  proto::Request configure;
  *configure.mutable_configure()->mutable_configuration() = std::move(configuration);
  const auto failed = [this](const Error& error) {
    v1::DeviceStatus& status = *record_.mutable_status();
    // How a process ended says more than that it is gone.
    if (status.state() == v1::DEVICE_STATE_STARTING && status.state_reason().empty() &&
        error.error_number() != ECONNRESET) {
      status.set_state_reason(error.message());
    }
    kill_process();
  };
  const auto patience =
      record_.status().engine() == v1::ENGINE_LIBVIRT ? kQemuStartPatience : kStartPatience;
  link_->ask(
      std::move(configure),
      [failed](const Result<proto::Reply>& reply) {
        if (!reply) {
          failed(reply.error());
        }
      },
      patience);
  link_->ask(
      request_of([](proto::Request& request) { request.mutable_start(); }),
      [this, failed](const Result<proto::Reply>& reply) {
        if (!reply) {
          failed(reply.error());
        } else if (record_.status().state() == v1::DEVICE_STATE_STARTING) {
          (void)become(v1::DEVICE_STATE_RUNNING);
          finish(start_waiting_, {});
        }
      },
      patience);
}

void ManagedDevice::stop(Done done) {
  const v1::DeviceState state = record_.status().state();
  if (auto fits =
          require({v1::DEVICE_STATE_CREATED, v1::DEVICE_STATE_STARTING, v1::DEVICE_STATE_RUNNING,
                   v1::DEVICE_STATE_PAUSED, v1::DEVICE_STATE_STOPPING, v1::DEVICE_STATE_STOPPED,
                   v1::DEVICE_STATE_FAILED},
                  "stop");
      !fits) {
    done(fits);
    return;
  }
  if (!is_active(state)) {
    done(forget_restart());
    return;
  }
  if (state != v1::DEVICE_STATE_STOPPING) {
    if (auto stored = become(v1::DEVICE_STATE_STOPPING); !stored) {
      done(stored);
      return;
    }
    stop_requested_ = true;
    end_waiting_.push_back(std::move(done));
    finish(start_waiting_,
           std::unexpected(ApiError(grpc::ABORTED, "DEVICE_STOPPED",
                                    record_.name() + " was stopped while it started")));
    stop_process(state == v1::DEVICE_STATE_RUNNING ? kPowerOffPatience : std::chrono::seconds{});
    return;
  }
  end_waiting_.push_back(std::move(done));
}

ApiResult<void> ManagedDevice::forget_restart() {
  v1::DeviceStatus& status = *record_.mutable_status();
  if (status.has_next_start_time()) {
    const auto before = status.next_start_time();
    status.clear_next_start_time();
    if (auto stored = store(); !stored) {
      *status.mutable_next_start_time() = before;
      return stored;
    }
  }
  restart_timer_.reset();
  return {};
}

void ManagedDevice::stop_process(std::chrono::milliseconds patience) {
  if (!link_) {
    kill_process();
    return;
  }
  proto::Request request;
  request.mutable_stop()->set_patience_ms(static_cast<std::uint32_t>(patience.count()));
  tell(request);
  auto timer = LoopTimer::create(surroundings_.loop, [this] {
    spdlog::warn("{}: its process does not stop and is killed", record_.name());
    kill_process();
  });
  if (timer) {
    kill_timer_ = std::move(*timer);
    kill_timer_->set(patience + kEndPatience);
  } else {
    kill_process();
  }
}

void ManagedDevice::pause(Done done) {
  if (auto fits = require({v1::DEVICE_STATE_RUNNING}, "pause"); !fits) {
    done(fits);
    return;
  }
  ask_and_become(request_of([](proto::Request& request) { request.mutable_pause(); }),
                 v1::DEVICE_STATE_PAUSED, std::move(done));
}

void ManagedDevice::resume(Done done) {
  if (auto fits = require({v1::DEVICE_STATE_PAUSED}, "resume"); !fits) {
    done(fits);
    return;
  }
  ask_and_become(request_of([](proto::Request& request) { request.mutable_resume(); }),
                 v1::DEVICE_STATE_RUNNING, std::move(done));
}

void ManagedDevice::reset(Done done) {
  if (auto fits = require({v1::DEVICE_STATE_RUNNING, v1::DEVICE_STATE_PAUSED}, "reset"); !fits) {
    done(fits);
    return;
  }
  ask_and_become(request_of([](proto::Request& request) { request.mutable_reset(); }),
                 v1::DEVICE_STATE_RUNNING, std::move(done));
}

void ManagedDevice::ask_and_become(proto::Request request, v1::DeviceState state, Done done) {
  if (!link_) {
    done(no_answer(record_));
    return;
  }
  link_->ask(std::move(request), [this, state,
                                  done = std::move(done)](const Result<proto::Reply>& reply) {
    if (!reply && reply.error().error_number() != 0) {
      done(no_answer(record_));
      return;
    }
    if (!reply) {
      done(failed_precondition("PROCESS_REFUSED",
                               fmt::format("{}: {}", record_.name(), reply.error().message())));
      return;
    }
    const v1::DeviceState current = record_.status().state();
    const bool goes_on = current == v1::DEVICE_STATE_RUNNING || current == v1::DEVICE_STATE_PAUSED;
    done(goes_on && current != state ? become(state) : ApiResult<void>());
  });
}

void ManagedDevice::remove(Done done) {
  if (auto stored = become(v1::DEVICE_STATE_DELETING); !stored) {
    done(stored);
    return;
  }
  restart_timer_.reset();
  stop_requested_ = true;
  finish(start_waiting_,
         std::unexpected(ApiError(grpc::ABORTED, "DEVICE_DELETED",
                                  record_.name() + " was deleted while it started")));
  if (!process_.handle && !link_ && !is_searching_) {
    remove_folder(done);
    return;
  }
  end_waiting_.emplace_back(
      [this, done = std::move(done)](const ApiResult<void>&) { remove_folder(done); });
  kill_process();
}

ApiResult<void> ManagedDevice::update(const v1::Device& changes, bool labels, bool restart) {
  if (record_.status().state() == v1::DEVICE_STATE_DELETING) {
    return failed_precondition("WRONG_STATE", fmt::format("{} is being deleted", record_.name()));
  }
  const v1::Device before = record_;
  if (labels) {
    *record_.mutable_labels() = changes.labels();
  }
  if (restart) {
    *record_.mutable_spec()->mutable_restart() = changes.spec().restart();
  }
  v1::DeviceStatus& status = *record_.mutable_status();
  const bool forgets_restart = status.has_next_start_time() && !wants_restart(status.state());
  if (forgets_restart) {
    status.clear_next_start_time();
  }
  auto stored = store();
  if (!stored) {
    record_ = before;
  } else if (forgets_restart) {
    restart_timer_.reset();
  }
  return stored;
}

ApiResult<vmm::FileDescriptor> ManagedDevice::connect_another() const {
  if (auto fits = require({v1::DEVICE_STATE_RUNNING, v1::DEVICE_STATE_PAUSED}, "attach to");
      !fits) {
    return std::unexpected(fits.error());
  }
  auto socket = connect_to_process(folder());
  if (!socket) {
    return no_answer(record_);
  }
  return std::move(*socket);
}

void ManagedDevice::tell(proto::Request request) {
  if (link_) {
    link_->ask(std::move(request), [](const Result<proto::Reply>&) {});
  }
}

void ManagedDevice::measure(std::function<void(ApiResult<proto::Measurements> result)> done,
                            std::chrono::milliseconds patience) {
  auto fits = require({v1::DEVICE_STATE_RUNNING, v1::DEVICE_STATE_PAUSED}, "measure");
  if (!fits || !link_) {
    done(fits ? no_answer(record_) : std::unexpected(fits.error()));
    return;
  }
  link_->ask(
      request_of([](proto::Request& request) { request.mutable_get_measurements(); }),
      [this, done = std::move(done)](const Result<proto::Reply>& reply) {
        if (reply) {
          done(reply->measurements());
        } else {
          done(no_answer(record_));
        }
      },
      patience);
}

void ManagedDevice::send_input(proto::SendInput input, Done done) {
  auto fits = require({v1::DEVICE_STATE_RUNNING}, "send input to");
  if (!fits || !link_) {
    done(fits ? no_answer(record_) : fits);
    return;
  }
  proto::Request request;
  *request.mutable_send_input() = std::move(input);
  link_->ask(std::move(request), [this, done = std::move(done)](const Result<proto::Reply>& reply) {
    if (reply) {
      done({});
    } else if (reply.error().error_number() != 0) {
      done(no_answer(record_));
    } else {
      done(std::unexpected(
          ApiError(grpc::INVALID_ARGUMENT, "INPUT_REFUSED",
                   fmt::format("{}: {}", record_.name(), reply.error().message()))));
    }
  });
}

ApiResult<void> ManagedDevice::become(v1::DeviceState state, std::string reason) {
  const v1::DeviceStatus before = record_.status();
  record_.mutable_status()->set_state(state);
  record_.mutable_status()->set_state_reason(std::move(reason));
  auto stored = store();
  // What has happened has happened; what was only wished is taken back.
  if (!stored && (state == v1::DEVICE_STATE_STARTING || state == v1::DEVICE_STATE_STOPPING ||
                  state == v1::DEVICE_STATE_DELETING)) {
    *record_.mutable_status() = before;
    return stored;
  }
  if (!stored) {
    is_stored_ = false;
    surroundings_.changed(record_);
    surroundings_.try_later(record_.uid());
  }
  spdlog::info("{} is {}{}{}", record_.name(), state_name(state),
               record_.status().state_reason().empty() ? "" : ": ",
               record_.status().state_reason());
  return stored;
}

ApiResult<void> ManagedDevice::store() {
  record_.set_etag(new_uid().substr(0, 16));
  auto stored = surroundings_.store.replace(record_);
  if (!stored) {
    spdlog::error("{}", stored.error().message());
    return std::unexpected(
        ApiError(grpc::UNAVAILABLE, "STATE_NOT_STORED", stored.error().message()));
  }
  is_stored_ = true;
  surroundings_.changed(record_);
  return {};
}

void ManagedDevice::finish(std::vector<Done>& waiting, const ApiResult<void>& result) {
  for (const Done& done : std::exchange(waiting, {})) {
    done(result);
  }
}

}  // namespace ensemble::control
