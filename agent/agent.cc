// ensemble-agent COMMAND…: what runs first in a device that the host works with.

#include "agent/agent.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "agent/child.h"
#include "agent/listing.h"
#include "agent/pull.h"
#include "agent/push.h"
#include "agent/run.h"
#include "agent/wire.h"

namespace ensemble::agent {
namespace {

constexpr char kPortPath[] = "/dev/virtio-ports/org.ensemble.agent";
constexpr std::size_t kMostConversations = 128;
constexpr std::uint32_t kMostPatience = 3'600'000;
// As the device's own: docs/exit-codes.md.
constexpr int kOwnFailure = 125;
constexpr int kCannotRun = 126;
constexpr int kNotFound = 127;

// Whether the process passes over a signal.
bool ignores(int process, int number) {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%d/status", process);
  std::FILE* const file = std::fopen(path, "re");
  unsigned long long ignored = 0;
  if (file != nullptr) {
    char line[256];
    while (std::fgets(line, sizeof line, file) != nullptr &&
           std::sscanf(line, "SigIgn: %llx", &ignored) != 1) {
    }
    std::fclose(file);
  }
  return (ignored >> (number - 1) & 1) != 0;
}

}  // namespace

Agent::Agent(std::vector<std::string> command, std::vector<std::string> environment)
    : command_(std::move(command)),
      environment_(std::move(environment)),
      port_(loop_, kPortPath,
            {.frame = [this](const FrameHeader& header,
                             std::string_view body) { take(header, body); },
             .drained = [this] { pump(); },
             .disconnected = [this] { drop_all(); }}) {}

bool Agent::watch_signals() {
  sigset_t watched;
  sigemptyset(&watched);
  for (const int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) {
    sigaddset(&watched, number);
  }
  // Blocked and not ignored: a child gets its own mask with one call, and this one's is no other.
  sigset_t blocked = watched;
  sigaddset(&blocked, SIGPIPE);
  ::sigprocmask(SIG_BLOCK, &blocked, nullptr);
  signals_ = ::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
  return loop_.watch(signals_, EPOLLIN, *this);
}

bool Agent::start_command() {
  ChildSettings settings;
  settings.command = command_;
  settings.environment = environment_;
  settings.directory.clear();
  settings.on_terminal = ::isatty(0) == 1;
  process_ = start_child(settings).process;
  if (process_ < 0) {
    std::fprintf(stderr, "%s: %s\n", command_.front().c_str(), std::strerror(-process_));
    exit_code_ = process_ == -ENOENT ? kNotFound : kCannotRun;
  }
  return process_ > 0;
}

int Agent::run() {
  if (!loop_.create() || !watch_signals()) {
    std::fprintf(stderr, "ensemble-agent: %s\n", std::strerror(errno));
    return kOwnFailure;
  }
  if (!start_command()) {
    return exit_code_;
  }
  if (const int error = port_.open(); error != 0) {
    std::fprintf(stderr, "ensemble-agent: %s: %s\n", kPortPath, std::strerror(-error));
  }
  while (exit_code_ < 0) {
    loop_.run_once(patience());
    work();
    remove_finished();
  }
  ::sync();
  return exit_code_;
}

// How long nothing is to be done, in ms.
int Agent::patience() const {
  const auto works = [](const auto& each) { return each->has_work(); };
  if (port_.has_work() || std::any_of(conversations_.begin(), conversations_.end(), works)) {
    return 0;
  }
  return kill_time_ == 0 ? -1
                         : static_cast<int>(std::max<std::int64_t>(kill_time_ - monotonic_ms(), 0));
}

void Agent::work() {
  if (kill_time_ != 0 && monotonic_ms() >= kill_time_) {
    kill_time_ = 0;
    ::kill(process_, SIGKILL);
  }
  if (port_.has_work()) {
    port_.work();
  }
  // One that is added meanwhile comes last.
  for (std::size_t i = 0; i < conversations_.size(); ++i) {
    if (!conversations_[i]->is_over() && conversations_[i]->has_work()) {
      conversations_[i]->work();
    }
  }
}

// A shell for somebody at a terminal passes over SIGTERM; its terminal's end it obeys.
void Agent::end_command(std::uint32_t patience_ms) {
  ::kill(-process_, SIGTERM);
  if (ignores(process_, SIGTERM)) {
    ::kill(-process_, SIGHUP);
  }
  ::kill(-process_, SIGCONT);
  if (patience_ms != 0) {
    kill_time_ = monotonic_ms() + std::min(patience_ms, kMostPatience);
  }
}

void Agent::ready(int /*descriptor*/, std::uint32_t /*events*/) {
  // Those that are left are told again.
  signalfd_siginfo infos[4];
  const ssize_t size = ::read(signals_, infos, sizeof infos);
  for (ssize_t i = 0; i < size / static_cast<ssize_t>(sizeof infos[0]); ++i) {
    if (infos[i].ssi_signo == SIGCHLD) {
      reap();
    } else if (exit_code_ < 0) {
      ::kill(process_, static_cast<int>(infos[i].ssi_signo));
    }
  }
}

void Agent::reap() {
  int status = 0;
  for (int process = 0; (process = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    if (process == process_) {
      exit_code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    for (const auto& each : conversations_) {
      each->child_ended(process, status);
    }
  }
}

Conversation* Agent::find(std::uint32_t number) const {
  for (const auto& each : conversations_) {
    if (each->number() == number && !each->is_over()) {
      return each.get();
    }
  }
  return nullptr;
}

void Agent::take(const FrameHeader& header, std::string_view body) {
  if (header.type == FrameType::kHello) {
    port_.send(FrameType::kHello, 0, kVersion);
    return;
  }
  if (header.type == FrameType::kTerminate) {
    end_command(header.detail);
    return;
  }
  Conversation* const conversation = find(header.conversation);
  if (conversation == nullptr) {
    begin(header, body);
  } else if (header.type == FrameType::kCredit) {
    conversation->add_credit(header.detail);
    conversation->pump();
  } else if (header.type == FrameType::kCancel) {
    conversation->cancel();
  } else {
    conversation->take(header, body);
  }
}

// Other frames belong to a conversation that has just ended.
void Agent::begin(const FrameHeader& header, std::string_view body) {
  const std::uint32_t number = header.conversation;
  remove_finished();
  const auto add = [&]<typename Kind>(std::unique_ptr<Kind> made) {
    Kind& kind = *made;
    conversations_.push_back(std::move(made));
    return &kind;
  };
  const bool begins = header.type >= FrameType::kRun && header.type <= FrameType::kStat;
  if (begins && conversations_.size() >= kMostConversations) {
    port_.send(FrameType::kFailed, number, EAGAIN,
               BodyWriter().text("the agent has too much to do").body());
    return;
  }
  switch (header.type) {
    case FrameType::kRun:
      add(std::make_unique<Run>(port_, number, loop_, environment_))->start(body);
      break;
    case FrameType::kPush:
      add(std::make_unique<Push>(port_, number))->start(body);
      break;
    case FrameType::kPushState:
      add(std::make_unique<Push>(port_, number))->tell_state(body);
      break;
    case FrameType::kPull:
      add(std::make_unique<Pull>(port_, number))->start(body);
      break;
    case FrameType::kList:
      add(std::make_unique<Listing>(port_, number))->list(body);
      break;
    case FrameType::kStat:
      add(std::make_unique<Listing>(port_, number))->stat(body);
      break;
    default:
      break;
  }
}

// Each is first in its turn: who has much to send fills the port.
void Agent::pump() {
  if (!conversations_.empty()) {
    std::rotate(conversations_.begin(), conversations_.begin() + 1, conversations_.end());
  }
  for (const auto& each : conversations_) {
    if (!each->is_over()) {
      each->pump();
    }
  }
}

void Agent::drop_all() {
  for (const auto& each : conversations_) {
    if (!each->is_over()) {
      each->cancel();
    }
  }
}

void Agent::remove_finished() {
  std::erase_if(conversations_, [](const auto& each) { return each->is_over(); });
}

}  // namespace ensemble::agent

int main(int count, char** arguments, char** environment) {
  std::vector<std::string> command(arguments + 1, arguments + count);
  std::vector<std::string> variables;
  for (; *environment != nullptr; ++environment) {
    variables.emplace_back(*environment);
  }
  if (command.empty()) {
    command = {::access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh"};
  }
  return ensemble::agent::Agent(std::move(command), std::move(variables)).run();
}
