#include "control/served_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <system_error>
#include <utility>

#include "control/folder_socket.h"
#include "control/small_file.h"
#include "control/spawn_settings.h"
#include "control/vmm_child.h"

namespace ensemble::control {
namespace {

constexpr int kBacklog = 16;

std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

void configure(SpawnSettings& settings, int listener, const std::string& log) {
  settings.open(STDIN_FILENO, "/dev/null", O_RDONLY);
  settings.open(STDOUT_FILENO, "/dev/null", O_WRONLY);
  settings.open(STDERR_FILENO, log, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW);
  settings.place(listener, kControlDescriptor);
  settings.begin_session();
}

std::string serve_argument(const std::string& folder) {
  return "--serve=" + folder;
}

// The process if it serves the folder: looked at once it is held, so that no other has its number.
StartedProcess hold_if_it_serves(pid_t id, const std::string& folder) {
  StartedProcess process;
  vmm::FileDescriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, id, 0)));
  const auto words = read_small_file("/proc/" + std::to_string(id) + "/cmdline");
  const std::string wanted = '\0' + serve_argument(folder) + '\0';
  if (handle && words && words->find(wanted) != std::string::npos) {
    process.id = id;
    process.handle = std::move(handle);
  }
  return process;
}

}  // namespace

StartedProcess find_served_process(const std::string& folder, pid_t id) {
  StartedProcess process;
  if (id > 0 && (process = hold_if_it_serves(id, folder)).handle) {
    return process;
  }
  std::error_code failed;
  for (std::filesystem::directory_iterator at("/proc", failed), end; !failed && at != end;
       at.increment(failed)) {
    const pid_t each = static_cast<pid_t>(std::atoi(at->path().filename().c_str()));
    if (each > 0 && (process = hold_if_it_serves(each, folder)).handle) {
      break;
    }
  }
  return process;
}

Result<StartedProcess> start_served_process(const ServedProcessOptions& options) {
  ::unlink((options.folder + "/" + kStoppedName).c_str());
  auto low = listen_in_folder(options.folder, kControlSocketName, kBacklog);
  if (!low) {
    return std::unexpected(low.error());
  }
  // Above the descriptor that the process finds it at, so that placing it there does not close it.
  const vmm::FileDescriptor listener(::fcntl(low->get(), F_DUPFD_CLOEXEC, kConsoleDescriptor + 1));
  if (!listener) {
    return std::unexpected(Error::from_errno("cannot copy a descriptor", errno));
  }
  SpawnSettings settings;
  configure(settings, listener.get(), options.folder + "/" + kProcessLogName);

  std::string name = options.executable.substr(options.executable.rfind('/') + 1);
  std::string log_level = "--log-level=" + options.log_level;
  std::string serve = serve_argument(options.folder);
  std::array<char*, 4> arguments = {name.data(), log_level.data(), serve.data(), nullptr};

  StartedProcess process;
  process.started_at_ns = monotonic_ns();
  const int error_number = settings.spawn(process.id, options.executable, arguments.data());
  if (error_number != 0) {
    return std::unexpected(
        Error::from_errno("cannot start '" + options.executable + "'", error_number));
  }
  process.handle = vmm::FileDescriptor(static_cast<int>(::syscall(SYS_pidfd_open, process.id, 0)));
  if (!process.handle) {
    const int failed = errno;
    ::kill(process.id, SIGKILL);
    return std::unexpected(Error::from_errno("cannot watch a process", failed));
  }
  return process;
}

Result<vmm::FileDescriptor> connect_to_process(const std::string& folder) {
  return connect_in_folder(folder, kControlSocketName);
}

Result<vmm::FileDescriptor> connect_to_agent(const std::string& folder) {
  return connect_in_folder(folder, kAgentSocketName);
}

}  // namespace ensemble::control
