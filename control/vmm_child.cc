#include "control/vmm_child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <ctime>
#include <utility>

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

// Frees the two structures that posix_spawn takes.
struct SpawnSettings {
  SpawnSettings() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

void configure(SpawnSettings& settings, int control, int console) {
  ::posix_spawn_file_actions_addopen(&settings.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&settings.actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  ::posix_spawn_file_actions_adddup2(&settings.actions, control, kControlDescriptor);
  ::posix_spawn_file_actions_adddup2(&settings.actions, console, kConsoleDescriptor);

  sigset_t none;
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&settings.attributes, &none);
  ::posix_spawnattr_setpgroup(&settings.attributes, 0);
  ::posix_spawnattr_setflags(&settings.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
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

  std::string name = "ensemble-vmm";
  std::string log_level = "--log-level=" + options.log_level;
  std::string parent = fmt::format("--parent={}", ::getpid());
  std::array<char*, 4> arguments = {name.data(), log_level.data(), parent.data(), nullptr};

  VmmChild child;
  child.started_at_ns_ = monotonic_ns();
  const int error_number =
      ::posix_spawn(&child.process_, options.executable.c_str(), &settings.actions,
                    &settings.attributes, arguments.data(), environ);
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
    : process_(std::exchange(other.process_, -1)),
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
    return fmt::format("ensemble-vmm was killed by signal {} ({})", WTERMSIG(status),
                       ::strsignal(WTERMSIG(status)));
  }
  if (WEXITSTATUS(status) != 0) {
    return fmt::format("ensemble-vmm ended with exit code {}", WEXITSTATUS(status));
  }
  return std::nullopt;
}

}  // namespace ensemble::control
