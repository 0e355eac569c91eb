#include "control/libvirt/runtime_folder.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <utility>
#include <vector>

#include "control/small_file.h"
#include "control/spawn_settings.h"

namespace ensemble::control {
namespace {

constexpr int kKillPatience = 5000;  // Milliseconds.

std::string parent_folder() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && ::access(runtime, W_OK) == 0) {
    return runtime;
  }
  std::error_code failed;
  const auto temporary = std::filesystem::temp_directory_path(failed);
  return failed ? "/tmp" : temporary.string();
}

Result<vmm::FileDescriptor> start_guard(const std::string& path) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return std::unexpected(Error::from_errno("cannot make a pipe", errno));
  }
  const vmm::FileDescriptor theirs(ends[0]);
  vmm::FileDescriptor ours(ends[1]);
  SpawnSettings settings;
  settings.place(theirs.get(), STDIN_FILENO);
  settings.open(STDOUT_FILENO, "/dev/null", O_WRONLY);
  settings.open(STDERR_FILENO, "/dev/null", O_WRONLY);
  settings.begin_session();
  std::string name = "ensemble-libvirt";
  std::string guard = "--guard=" + path;
  std::array<char*, 3> arguments = {name.data(), guard.data(), nullptr};
  pid_t process = -1;
  const int failed = settings.spawn(process, "/proc/self/exe", arguments.data());
  if (failed != 0) {
    return std::unexpected(Error::from_errno("cannot start the guard of '" + path + "'", failed));
  }
  return ours;
}

void remove_sockets(const std::string& path) {
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(path, failed)) {
    if (entry.is_socket(failed)) {
      std::filesystem::remove(entry.path(), failed);
    }
  }
}

// Whether the process is a QEMU with files in this directory.
bool is_qemu_of(const std::string& path, const std::string& process) {
  const std::string words = read_small_file("/proc/" + process + "/cmdline").value_or("");
  const std::string program = words.substr(0, words.find('\0'));
  return program.substr(program.rfind('/') + 1).starts_with("qemu") &&
         words.find(path + "/") != std::string::npos;
}

// Those of devices, and those that libvirt asks what QEMU can do.
void kill_qemus(const std::string& path) {
  std::vector<vmm::FileDescriptor> killed;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", failed)) {
    const std::string process = entry.path().filename();
    if (!is_qemu_of(path, process)) {
      continue;
    }
    vmm::FileDescriptor held(
        static_cast<int>(::syscall(SYS_pidfd_open, std::atoi(process.c_str()), 0)));
    // Held, no other has its number.
    if (held && is_qemu_of(path, process)) {
      ::syscall(SYS_pidfd_send_signal, held.get(), SIGKILL, nullptr, 0);
      killed.push_back(std::move(held));
    }
  }
  for (const vmm::FileDescriptor& each : killed) {
    pollfd ended{each.get(), POLLIN, 0};
    ::poll(&ended, 1, kKillPatience);
  }
}

}  // namespace

Result<std::unique_ptr<RuntimeFolder>> RuntimeFolder::create() {
  std::string path = parent_folder() + "/ensemble-qemu-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) {
    return std::unexpected(Error::from_errno("cannot make the directory '" + path + "'", errno));
  }
  auto guard = start_guard(path);
  if (!guard) {
    ::rmdir(path.c_str());
    return std::unexpected(guard.error());
  }
  return std::unique_ptr<RuntimeFolder>(new RuntimeFolder(std::move(path), std::move(*guard)));
}

int guard_folder(const std::string& path) {
  // Whatever ends the process that is watched, at a terminal for instance, does not end the guard.
  for (const int each : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) {
    ::signal(each, SIG_IGN);
  }
  char nothing = 0;
  while (::read(STDIN_FILENO, &nothing, sizeof nothing) > 0 || errno == EINTR) {
    errno = 0;
  }
  // First the sockets: a QEMU that starts only now cannot connect, and ends by itself.
  remove_sockets(path);
  kill_qemus(path);
  std::error_code failed;
  std::filesystem::remove_all(path, failed);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

}  // namespace ensemble::control
