// What a device's process does: it is watched, found again, and its end is recorded.

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "control/daemon/device_record.h"
#include "control/daemon/log_tail.h"
#include "control/daemon/managed_device.h"
#include "control/small_file.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;
using google::protobuf::util::TimeUtil;

constexpr std::uint32_t kUsualAttempts = 5;
constexpr std::chrono::milliseconds kFirstPause{100};
constexpr std::chrono::milliseconds kLongestPause{30'000};
constexpr std::size_t kLastLogLines = 20;

v1::DeviceState to_state(proto::State state) {
  switch (state) {
    case proto::STATE_RUNNING:
      return v1::DEVICE_STATE_RUNNING;
    case proto::STATE_PAUSED:
      return v1::DEVICE_STATE_PAUSED;
    case proto::STATE_STOPPED:
      return v1::DEVICE_STATE_STOPPING;
    default:
      return v1::DEVICE_STATE_STARTING;
  }
}

std::string describe_exit(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return fmt::format("its process was killed by signal {} ({})", WTERMSIG(wait_status),
                       ::strsignal(WTERMSIG(wait_status)));
  }
  return fmt::format("its process ended with exit code {}", WEXITSTATUS(wait_status));
}

std::optional<proto::Stopped> read_stopped(const std::string& folder) {
  const auto bytes = read_small_file(folder + "/" + kStoppedName);
  proto::Stopped stopped;
  if (!bytes || !stopped.ParseFromString(*bytes)) {
    return std::nullopt;
  }
  return stopped;
}

// Whether nobody listens there any more. Anything else says more of this process than of the other.
bool is_gone(const Error& error) {
  return error.error_number() == ECONNREFUSED || error.error_number() == ENOENT;
}

std::chrono::milliseconds pause_before(std::uint32_t attempt) {
  const std::uint32_t doublings = std::min<std::uint32_t>(attempt, 10);
  return std::min<std::chrono::milliseconds>(kFirstPause * (1 << doublings), kLongestPause);
}

}  // namespace

Result<void> ManagedDevice::connect() {
  auto socket = connect_to_process(folder());
  if (!socket) {
    return std::unexpected(socket.error());
  }
  auto link =
      ProcessLink::create(surroundings_.loop, std::move(*socket),
                          {.event = [this](const proto::Event& event) { handle_event(event); },
                           .closed =
                               [this](const std::optional<Error>& error) {
                                 if (error) {
                                   spdlog::warn("{}: {}", record_.name(), error->message());
                                 }
                                 link_closed();
                               }});
  if (!link) {
    return std::unexpected(link.error());
  }
  link_ = std::move(*link);
  return {};
}

void ManagedDevice::watch_process() {
  auto watch = surroundings_.loop.watch(process_.handle.get(), EPOLLIN,
                                        [this](std::uint32_t) { process_ended(); });
  if (watch) {
    process_watch_ = std::move(*watch);
  } else {
    spdlog::error("{}: cannot watch its process: {}", record_.name(), watch.error().message());
  }
}

void ManagedDevice::recover() {
  const v1::DeviceStatus& status = record_.status();
  const v1::DeviceState state = status.state();
  if (status.has_next_start_time()) {
    const auto left = TimeUtil::DurationToMilliseconds(status.next_start_time() - now());
    restart_later(std::clamp(std::chrono::milliseconds(left), kFirstPause, kLongestPause));
    return;
  }
  if (!is_active(state) && state != v1::DEVICE_STATE_DELETING) {
    return;
  }
  stop_requested_ = state == v1::DEVICE_STATE_STOPPING || state == v1::DEVICE_STATE_DELETING;
  is_searching_ = true;
  find_process();
}

// Looks for the process that an earlier daemon has started, and asks what it does.
void ManagedDevice::find_process() {
  if (!link_) {
    if (auto connected = connect(); !connected) {
      lost(connected.error());
      return;
    }
  }
  // Held before it answers: one that never does can be killed.
  hold_process(static_cast<pid_t>(record_.status().process_id()));
  proto::Request request;
  request.mutable_get_status();
  link_->ask(std::move(request), [this](const Result<proto::Reply>& reply) {
    if (reply) {
      adopt(reply->status());
    } else if (reply.error().error_number() == ETIMEDOUT) {
      not_answered(reply.error());
    }
  });
}

void ManagedDevice::hold_process(pid_t id) {
  if (!process_.handle) {
    process_ = find_served_process(folder(), id);
    if (process_.handle) {
      watch_process();
    }
  }
}

// There is no connection to the process, and none can be made.
void ManagedDevice::lost(const Error& error) {
  if (!is_gone(error)) {
    spdlog::warn("{}: {}; trying again", record_.name(), error.message());
    surroundings_.try_later(record_.uid());
  } else if (process_.handle) {
    record_.mutable_status()->set_state_reason("its process stopped to answer and was killed");
    kill_process();
  } else {
    record_end(read_stopped(folder()), std::nullopt);
  }
}

// The process of an earlier daemon is there, and says nothing.
void ManagedDevice::not_answered(const Error& error) {
  if (stop_requested_) {
    kill_process();
  } else if (record_.status().state() == v1::DEVICE_STATE_STARTING) {
    record_.mutable_status()->set_state_reason(error.message());
    kill_process();
  }
  if (is_searching_) {
    surroundings_.try_later(record_.uid());
  }
}

void ManagedDevice::try_again() {
  if (!is_stored_ && !store()) {
    surroundings_.try_later(record_.uid());
  }
  if (is_searching_) {
    find_process();
  } else if (process_.handle && !link_) {
    if (auto connected = connect(); !connected) {
      lost(connected.error());
    }
  }
}

// An earlier daemon has started the process that is at the other end of the link.
void ManagedDevice::adopt(const proto::Status& status) {
  hold_process(static_cast<pid_t>(status.process_id()));
  if (!process_.handle) {
    surroundings_.try_later(record_.uid());  // If it has just ended, the link tells.
    return;
  }
  is_searching_ = false;
  record_.mutable_status()->set_process_id(static_cast<std::uint32_t>(process_.id));
  if (stop_requested_) {
    kill_process();
  } else if (status.state() == proto::STATE_EMPTY ||
             (status.state() == proto::STATE_PAUSED &&
              record_.status().state() == v1::DEVICE_STATE_STARTING)) {
    // It was never told what to be, or not to start.
    record_.mutable_status()->set_state_reason("the daemon was ended while the device started");
    kill_process();
  } else if (to_state(status.state()) != v1::DEVICE_STATE_STOPPING) {
    if (record_.status().engine() != v1::ENGINE_LIBVIRT) {
      hold_to_limits();  // The daemon's end may have taken them off.
    }
    (void)become(to_state(status.state()));
    finish(start_waiting_, {});
  }
}

void ManagedDevice::handle_event(const proto::Event& event) {
  const v1::DeviceState state = record_.status().state();
  if (event.has_state_changed() &&
      (state == v1::DEVICE_STATE_RUNNING || state == v1::DEVICE_STATE_PAUSED) &&
      event.state_changed() != proto::STATE_STOPPED && to_state(event.state_changed()) != state) {
    (void)become(to_state(event.state_changed()));
  }
}

void ManagedDevice::link_closed() {
  link_.reset();
  // It ends, or it has had enough of this connection.
  surroundings_.try_later(record_.uid());
}

void ManagedDevice::process_ended() {
  process_watch_ = vmm::FdWatch();
  int status = 0;
  // A child of an earlier daemon has no status for this one.
  const bool is_child = ::waitpid(process_.id, &status, WNOHANG) == process_.id;
  { const vmm::FileDescriptor closed = std::move(process_.handle); }
  process_.id = -1;
  surroundings_.groups.forget(record_.uid());
  if (const auto link = std::exchange(link_, nullptr)) {
    link->give_up();
  }
  record_end(read_stopped(folder()), is_child ? std::optional(status) : std::nullopt);
}

void ManagedDevice::record_end(const std::optional<proto::Stopped>& stopped,
                               std::optional<int> wait_status) {
  kill_timer_.reset();
  is_searching_ = false;
  v1::DeviceStatus& status = *record_.mutable_status();
  status.set_process_id(0);
  if (status.state() == v1::DEVICE_STATE_DELETING) {
    finish(end_waiting_, {});
    return;
  }
  std::string reason = status.state_reason();
  v1::DeviceState state = v1::DEVICE_STATE_FAILED;
  *status.mutable_stop_time() = now();
  if (stopped && stopped->reason() == proto::STOP_REASON_POWER_OFF) {
    state = v1::DEVICE_STATE_STOPPED;
    status.set_exit_code(stopped->exit_code());
    reason = "its command ended, or it was powered off";
  } else if (stop_requested_ || (stopped && stopped->reason() == proto::STOP_REASON_REQUESTED)) {
    state = v1::DEVICE_STATE_STOPPED;
    reason = "it was stopped by a call";
  } else if (stopped) {
    reason = stopped->message();
  } else if (reason.empty()) {
    reason = wait_status ? describe_exit(*wait_status)
                         : "its process ended while the daemon was away, and left no reason";
  }
  if (state == v1::DEVICE_STATE_FAILED) {
    for (std::string& line : last_lines(folder() + "/" + kProcessLogName, kLastLogLines)) {
      status.add_last_log_lines(std::move(line));
    }
  }
  const bool restarts = wants_restart(state);
  const auto pause = pause_before(status.restarts());
  if (restarts) {
    *status.mutable_next_start_time() = now() + TimeUtil::MillisecondsToDuration(pause.count());
  }
  (void)become(state, reason);
  finish(start_waiting_,
         std::unexpected(ApiError(state == v1::DEVICE_STATE_FAILED ? grpc::INTERNAL : grpc::ABORTED,
                                  "DEVICE_ENDED", fmt::format("{}: {}", record_.name(), reason))));
  finish(end_waiting_, {});
  if (restarts) {
    restart_later(pause);
  }
}

bool ManagedDevice::wants_restart(v1::DeviceState state) const {
  const v1::Restart& restart = record_.spec().restart();
  const bool wanted =
      restart.policy() == v1::RESTART_POLICY_ALWAYS ||
      (restart.policy() == v1::RESTART_POLICY_ON_FAILURE && state == v1::DEVICE_STATE_FAILED);
  const std::uint32_t most =
      restart.maximum_attempts() != 0 ? restart.maximum_attempts() : kUsualAttempts;
  return wanted && !stop_requested_ && record_.status().restarts() < most;
}

void ManagedDevice::restart_later(std::chrono::milliseconds delay) {
  auto timer = LoopTimer::create(surroundings_.loop, [this] { restart(); });
  if (timer) {
    restart_timer_ = std::move(*timer);
    restart_timer_->set(delay);
  } else {
    spdlog::error("{} is not started again: {}", record_.name(), timer.error().message());
  }
}

void ManagedDevice::restart() {
  const auto at_once = std::make_shared<bool>(true);
  begin(record_.status().restarts() + 1, [this, at_once](const ApiResult<void>& started) {
    // What fails later is a device that has started and ended, and record_end()'s.
    if (!started && *at_once && record_.status().has_next_start_time()) {
      // Nothing of it was recorded: a quota, or a file that is gone.
      record_.mutable_status()->clear_next_start_time();
      (void)become(v1::DEVICE_STATE_FAILED,
                   "it was not started again: " + started.error().message());
    }
  });
  *at_once = false;
}

void ManagedDevice::hold_to_limits() {
  const v1::DeviceStatus& status = record_.status();
  const auto held = surroundings_.groups.hold(
      record_.uid(), process_.id, limits_for(status.memory_bytes(), status.processors()));
  if (!held) {
    spdlog::warn("{}: not held to limits: {}", record_.name(), held.error().message());
  }
}

void ManagedDevice::kill_process() {
  if (process_.handle) {
    ::syscall(SYS_pidfd_send_signal, process_.handle.get(), SIGKILL, nullptr, 0);
  }
}

void ManagedDevice::remove_folder(const Done& done) {
  std::error_code failed;
  std::filesystem::remove_all(folder(), failed);
  if (failed) {
    done(internal(Error(fmt::format("cannot remove '{}': {}", folder(), failed.message()))));
    return;
  }
  done({});
}

}  // namespace ensemble::control
