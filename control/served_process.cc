#include "control/served_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <system_error>
#include <utility>

#include "control/small_file.h"
#include "control/spawn_settings.h"
#include "control/vmm_child.h"

namespace ensemble::control {
namespace {

constexpr int kBacklog = 16;

// The address of a socket in `folder` by way of an open descriptor, since a path of more than 107
// bytes does not fit into a socket's address.
sockaddr_un address_in(const vmm::FileDescriptor& folder) {
  const std::string path =
      "/proc/self/fd/" + std::to_string(folder.get()) + "/" + kControlSocketName;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

Result<vmm::FileDescriptor> open_folder(const std::string& folder) {
  vmm::FileDescriptor opened(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!opened) {
    return std::unexpected(Error::from_errno("cannot open the directory '" + folder + "'", errno));
  }
  return opened;
}

// A new socket, and the directory that it is to have its other end in.
struct FolderSocket {
  vmm::FileDescriptor folder;
  vmm::FileDescriptor socket;
};

Result<FolderSocket> make_socket(const std::string& path) {
  auto folder = open_folder(path);
  if (!folder) {
    return std::unexpected(folder.error());
  }
  vmm::FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) {
    return std::unexpected(Error::from_errno("cannot make a socket", errno));
  }
  return FolderSocket{std::move(*folder), std::move(socket)};
}

Result<vmm::FileDescriptor> listen_in(const std::string& folder) {
  auto made = make_socket(folder);
  if (!made) {
    return std::unexpected(made.error());
  }
  ::unlinkat(made->folder.get(), kControlSocketName, 0);
  ::unlinkat(made->folder.get(), kStoppedName, 0);
  const sockaddr_un address = address_in(made->folder);
  if (::bind(made->socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
          0 ||
      ::listen(made->socket.get(), kBacklog) != 0) {
    return std::unexpected(
        Error::from_errno("cannot listen on '" + folder + "/" + kControlSocketName + "'", errno));
  }
  return std::move(made->socket);
}

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
  auto low = listen_in(options.folder);
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

  std::string name = "ensemble-vmm";
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
  auto made = make_socket(folder);
  if (!made) {
    return std::unexpected(made.error());
  }
  const sockaddr_un address = address_in(made->folder);
  // A process that accepts nobody is not waited for (EAGAIN).
  ::fcntl(made->socket.get(), F_SETFL, O_NONBLOCK);
  if (::connect(made->socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
      0) {
    return std::unexpected(
        Error::from_errno("cannot connect to '" + folder + "/" + kControlSocketName + "'", errno));
  }
  ::fcntl(made->socket.get(), F_SETFL, 0);
  return std::move(made->socket);
}

}  // namespace ensemble::control
