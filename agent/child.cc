#include "agent/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ensemble::agent {
namespace {

constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (const std::string& text : texts) {
    result.push_back(const_cast<char*>(text.c_str()));
  }
  result.push_back(nullptr);
  return result;
}

// Where to look for the program, in order.
std::vector<std::string> candidates(const ChildSettings& settings) {
  const std::string& name = settings.command.front();
  if (name.find('/') != std::string::npos) {
    return {name};
  }
  std::string_view path = kDefaultPath;
  for (const std::string& variable : settings.environment) {
    if (variable.starts_with("PATH=")) {
      path = std::string_view(variable).substr(5);
    }
  }
  std::vector<std::string> result;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find(':'), path.size());
    if (end != 0) {
      result.push_back(std::string(path.substr(0, end)) + "/" + name);
    }
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return result;
}

// Whether "/" is where a child is without another system call. The agent never goes elsewhere.
bool agent_is_at_root() {
  static const bool at_root = [] {
    char directory[2];
    return ::getcwd(directory, sizeof directory) != nullptr && directory[0] == '/';
  }();
  return at_root;
}

// In the child, which shares the agent's memory until it executes the program: nothing but system
// calls, each by itself, since those of the C library would change all threads. `stays`: it is in
// its directory already.
int become(const ChildSettings& settings, const std::vector<std::string>& programs,
           char* const* command, char* const* environment, bool stays,
           volatile bool& in_directory) {
  ::syscall(SYS_setsid);
  for (int number = 0; number < 3; ++number) {
    // All are above 2, or where they belong.
    if (settings.descriptors[number] != number &&
        ::dup2(settings.descriptors[number], number) < 0) {
      return errno;
    }
  }
  if (settings.on_terminal && ::ioctl(0, TIOCSCTTY, 1) != 0) {
    return errno;
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (settings.as_user &&
      (::syscall(SYS_setgroups, 0, nullptr) != 0 ||
       ::syscall(SYS_setresgid, settings.group, settings.group, settings.group) != 0 ||
       ::syscall(SYS_setresuid, settings.user, settings.user, settings.user) != 0)) {
    return errno;
  }
  if (!stays && ::chdir(settings.directory.c_str()) != 0) {
    in_directory = false;
    return errno;
  }
  int error = ENOENT;
  for (const std::string& program : programs) {
    ::execve(program.c_str(), command, environment);
    if (errno != ENOENT && errno != ENOTDIR) {
      error = errno;
    }
  }
  return error;
}

}  // namespace

StartedChild start_child(const ChildSettings& settings) {
  const std::vector<std::string> programs = candidates(settings);
  const std::vector<char*> command = pointers(settings.command);
  const std::vector<char*> environment = pointers(settings.environment);
  const bool stays =
      settings.directory.empty() || (settings.directory == "/" && agent_is_at_root());
  volatile int error = 0;
  volatile bool in_directory = true;
  const pid_t process = ::vfork();
  if (process == 0) {
    error = become(settings, programs, command.data(), environment.data(), stays, in_directory);
    ::_exit(127);
  }
  if (process < 0) {
    return {-errno, true};
  }
  // One that failed is reaped with all others.
  return {error != 0 ? -error : process, in_directory};
}

}  // namespace ensemble::agent
