#include "control/vmm_child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <ctime>
#include <utility>

#include "control/spawn_settings.h"

namespace ensemble::control {
namespace {

struct SocketPair {
  vmm::FileDescriptor ours;
  // Above the descriptors that the child finds its sockets at, so that placing one there cannot
  // close the other.
  vmm::FileDescriptor theirs;
};

Result<SocketPair> make_socket_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return std::unexpected(Error::from_errno("cannot make a socket pair", errno));
  }
  SocketPair pair{vmm::FileDescriptor(ends[0]), {}};
  const vmm::FileDescriptor low(ends[1]);
  pair.theirs = vmm::FileDescriptor(::fcntl(low.get(), F_DUPFD_CLOEXEC, kConsoleDescriptor + 1));
  if (!pair.theirs) {
    return std::unexpected(Error::from_errno("cannot make a socket pair", errno));
  }
  return pair;
}

void configure(SpawnSettings& settings, int control, int console) {
  settings.open(STDIN_FILENO, "/dev/null", O_RDONLY);
  settings.open(STDOUT_FILENO, "/dev/null", O_WRONLY);
  settings.place(control, kControlDescriptor);
  settings.place(console, kConsoleDescriptor);
  settings.begin_group();
}

std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

Result<VmmChild> VmmChild::spawn(const Options& options) {
  auto control = make_socket_pair();
  auto console = make_socket_pair();
  if (!control || !console) {
    return std::unexpected(!control ? control.error() : console.error());
  }
  SpawnSettings settings;
  configure(settings, control->theirs.get(), console->theirs.get());

  std::string name = options.executable.substr(options.executable.rfind('/') + 1);
  std::string log_level = "--log-level=" + options.log_level;
  std::string parent = fmt::format("--parent={}", ::getpid());
  std::array<char*, 4> arguments = {name.data(), log_level.data(), parent.data(), nullptr};

  VmmChild child;
  child.name_ = name;
  child.started_at_ns_ = monotonic_ns();
  const int error_number = settings.spawn(child.process_, options.executable, arguments.data());
  if (error_number != 0) {
    child.process_ = -1;
    return std::unexpected(
        Error::from_errno("cannot start '" + options.executable + "'", error_number));
  }
  child.control_ = std::move(control->ours);
  child.console_ = std::move(console->ours);
  return child;
}

VmmChild::VmmChild(VmmChild&& other) noexcept
    : name_(std::move(other.name_)),
      process_(std::exchange(other.process_, -1)),
      control_(std::move(other.control_)),
      console_(std::move(other.console_)),
      started_at_ns_(other.started_at_ns_) {}

VmmChild::~VmmChild() {
  kill();
  wait();
}

void VmmChild::kill() const {
  if (process_ > 0) {
    ::kill(process_, SIGKILL);
  }
}

std::optional<std::string> VmmChild::wait() {
  { const vmm::FileDescriptor closed = std::move(control_); }
  { const vmm::FileDescriptor closed = std::move(console_); }
  if (process_ <= 0) {
    return std::nullopt;
  }
  int status = 0;
  while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
  }
  process_ = -1;
  if (WIFSIGNALED(status)) {
    return fmt::format("{} was killed by signal {} ({})", name_, WTERMSIG(status),
                       ::strsignal(WTERMSIG(status)));
  }
  if (WEXITSTATUS(status) != 0) {
    return fmt::format("{} ended with exit code {}", name_, WEXITSTATUS(status));
  }
  return std::nullopt;
}

}  // namespace ensemble::control
