#include "control/daemon/agent_links.h"

#include <signal.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "control/daemon/device_record.h"
#include "control/printable.h"
#include "control/served_process.h"

namespace ensemble::control {
namespace {

// A device's stream ends a little before it is known that the device has stopped.
constexpr std::chrono::milliseconds kReasonPatience{200};

// How long a program may take to end that is told that its client has gone.
constexpr std::chrono::seconds kEndPatience{5};

ApiError gone(const std::string& name, std::string_view why) {
  return {grpc::UNAVAILABLE, "AGENT_GONE", fmt::format("{}: {}", name, why)};
}

ApiResult<void> require_running(const v1::Device& device, std::string_view verb) {
  const v1::DeviceState state = device.status().state();
  if (state == v1::DEVICE_STATE_RUNNING) {
    return {};
  }
  const char* const hint = state == v1::DEVICE_STATE_PAUSED     ? "; resume it first"
                           : state == v1::DEVICE_STATE_STARTING ? "; wait until it runs"
                           : is_active(state) || state == v1::DEVICE_STATE_DELETING
                               ? ""
                               : "; start it first";
  return std::unexpected(ApiError(grpc::FAILED_PRECONDITION, "WRONG_STATE",
                                  fmt::format("cannot {} {}: it is {}, not RUNNING{}", verb,
                                              device.name(), state_name(state), hint))
                             .about("device.status.state", state_name(state), "RUNNING"));
}

}  // namespace

AgentLinks::AgentLinks(vmm::EventLoop& loop, DeviceTable& devices)
    : loop_(loop), devices_(devices) {
  watch_ = devices_.watch([this](v1::DeviceEvent::Kind kind, const v1::Device& device) {
    device_changed(kind, device);
  });
}

AgentLinks::~AgentLinks() {
  devices_.unwatch(watch_);
  for (auto& [uid, entry] : links_) {
    entry.link->give_up(gone(entry.name, "the daemon is ending"));
  }
}

ApiResult<std::unique_ptr<AgentConversation>> AgentLinks::begin(
    const std::string& device, std::string_view verb, agent::FrameType type, std::string_view body,
    AgentConversation::Handlers handlers, bool input_ends) {
  const auto managed = devices_.find(device);
  if (!managed) {
    return std::unexpected(managed.error());
  }
  if (auto running = require_running((*managed)->record(), verb); !running) {
    return std::unexpected(running.error());
  }
  const auto link = link_to(**managed);
  if (!link) {
    return std::unexpected(link.error());
  }
  return (*link)->begin(type, body, std::move(handlers), input_ends);
}

ApiResult<AgentLink*> AgentLinks::link_to(const ManagedDevice& device) {
  const std::string uid = device.record().uid();
  const std::string& name = device.record().name();
  if (const auto found = links_.find(uid); found != links_.end()) {
    if (found->second.ending) {
      return std::unexpected(gone(name, "its agent is gone; try again"));
    }
    return found->second.link.get();
  }
  auto socket = connect_to_agent(device.folder());
  if (!socket && socket.error().error_number() == ENOENT) {
    return failed_precondition(
        "NO_AGENT", fmt::format("{} has no agent: only devices with Ensemble's own kernel, started "
                                "by this version of the daemon, have one",
                                name));
  }
  if (!socket) {
    return std::unexpected(gone(name, socket.error().message()));
  }
  auto link = AgentLink::create(loop_, std::move(*socket),
                                [this, uid](const ApiError& error) { link_closed(uid, error); });
  if (!link) {
    return internal(link.error());
  }
  Entry& entry = links_[uid];
  entry.link = std::move(*link);
  entry.name = name;
  return entry.link.get();
}

void AgentLinks::end_program(std::unique_ptr<AgentConversation> program) {
  const std::uint64_t id = ++last_ending_;
  // Not at once: its handlers and its timer are at work when it is over.
  const auto forget = [this, id] { loop_.post([this, id] { endings_.erase(id); }); };
  AgentConversation* const raw = program.get();
  raw->set_handlers({.frame =
                         [raw, forget](const agent::FrameHeader& header, std::string_view body) {
                           if (header.type == agent::FrameType::kData) {
                             raw->passed_on(body.size());
                           } else if (is_last(header.type)) {
                             forget();
                           }
                         },
                     .writable = [] {},
                     .broken = [forget](const ApiError&) { forget(); }});
  raw->send(agent::FrameType::kEndOfData, agent::kStandardInput);
  raw->send(agent::FrameType::kSignal, SIGHUP);
  raw->send(agent::FrameType::kSignal, SIGCONT);
  auto timer = LoopTimer::create(loop_, [raw, forget] {
    raw->send(agent::FrameType::kSignal, SIGKILL);
    forget();
  });
  if (!timer) {
    raw->send(agent::FrameType::kSignal, SIGKILL);
    return;
  }
  (*timer)->set(kEndPatience);
  endings_.emplace(id, Ending{.program = std::move(program), .timer = std::move(*timer)});
}

void AgentLinks::link_closed(const std::string& uid, const ApiError& error) {
  const auto found = links_.find(uid);
  if (found == links_.end()) {
    return;
  }
  const ApiError told(error.code(), error.reason(),
                      fmt::format("{}: {}", found->second.name, error.message()));
  const auto device = devices_.find(found->second.name);
  const bool may_stop = error.reason() == "AGENT_GONE" && device &&
                        (*device)->record().uid() == uid &&
                        is_active((*device)->record().status().state());
  auto timer = may_stop ? LoopTimer::create(
                              loop_,
                              [this, uid] {
                                const auto late = links_.find(uid);
                                drop(uid, gone(late->second.name,
                                               "its agent is gone; the device was reset, or its "
                                               "process does not answer"));
                              })
                        : Result<std::unique_ptr<LoopTimer>>(nullptr);
  if (timer && *timer != nullptr) {
    found->second.ending = std::move(*timer);
    found->second.ending->set(kReasonPatience);
  } else {
    drop(uid, told);
  }
}

void AgentLinks::device_changed(v1::DeviceEvent::Kind kind, const v1::Device& device) {
  const v1::DeviceStatus& status = device.status();
  if (kind == v1::DeviceEvent::KIND_DELETED || status.state() == v1::DEVICE_STATE_DELETING) {
    drop(device.uid(), gone(device.name(), "the device was deleted"));
  } else if (!is_active(status.state())) {
    drop(device.uid(),
         gone(device.name(), fmt::format("the device is {}: {}", state_name(status.state()),
                                         printable(status.state_reason()))));
  }
}

void AgentLinks::drop(const std::string& uid, const ApiError& error) {
  auto dropped = links_.extract(uid);
  if (!dropped.empty()) {
    dropped.mapped().link->give_up(error);
  }
}

}  // namespace ensemble::control
