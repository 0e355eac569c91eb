#include "tests/control/running_command.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace ensemble::control {
namespace {

using Clock = std::chrono::steady_clock;

struct Ends {
  vmm::FileDescriptor test;
  vmm::FileDescriptor command;
};

// A pipe that the command reads, or writes.
Ends make_pipe(bool command_reads) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw std::runtime_error("pipe2");
  }
  return command_reads ? Ends{vmm::FileDescriptor(ends[1]), vmm::FileDescriptor(ends[0])}
                       : Ends{vmm::FileDescriptor(ends[0]), vmm::FileDescriptor(ends[1])};
}

Ends make_terminal() {
  int test = -1;
  int command = -1;
  if (::openpty(&test, &command, nullptr, nullptr, nullptr) != 0) {
    throw std::runtime_error("openpty");
  }
  ::fcntl(test, F_SETFD, FD_CLOEXEC);
  ::fcntl(command, F_SETFD, FD_CLOEXEC);
  return {vmm::FileDescriptor(test), vmm::FileDescriptor(command)};
}

vmm::FileDescriptor open_file(const char* path, int flags) {
  return vmm::FileDescriptor(::open(path, flags | O_CLOEXEC));
}

vmm::FileDescriptor duplicate(const vmm::FileDescriptor& descriptor) {
  return vmm::FileDescriptor(::fcntl(descriptor.get(), F_DUPFD_CLOEXEC, 0));
}

// Appends what is ready; false at the end of the stream, which is closed then.
void read_ready(vmm::FileDescriptor& descriptor, std::string& text) {
  std::array<char, 65536> chunk;
  const ssize_t count = ::read(descriptor.get(), chunk.data(), chunk.size());
  if (count > 0) {
    text.append(chunk.data(), static_cast<std::size_t>(count));
  } else {
    const vmm::FileDescriptor closed = std::move(descriptor);
  }
}

}  // namespace

RunningCommand::RunningCommand(const Options& options) {
  Ends input;
  Ends output = make_pipe(false);
  Ends errors = make_pipe(false);
  switch (options.input) {
    case Input::kNone:
      input.command = open_file("/dev/null", O_RDONLY);
      break;
    case Input::kPipe:
      input = make_pipe(true);
      break;
    case Input::kTerminal:
      input = make_terminal();
      output.test = duplicate(input.test);
      output.command = duplicate(input.command);
      break;
  }
  if (!options.output_file.empty()) {
    output.command = open_file(options.output_file.c_str(), O_WRONLY);
  }

  process_ = ::fork();
  if (process_ == 0) {
    ::setsid();
    if (options.input == Input::kTerminal) {
      ::ioctl(input.command.get(), TIOCSCTTY, 0);
    }
    ::dup2(input.command.get(), STDIN_FILENO);
    ::dup2(output.command.get(), STDOUT_FILENO);
    ::dup2(errors.command.get(), STDERR_FILENO);
    for (const auto& [name, value] : options.environment) {
      ::setenv(name.c_str(), value.c_str(), 1);
    }
    constexpr uid_t kNobody = 65534;
    if (options.unprivileged && ::geteuid() == 0 &&
        (::setgroups(0, nullptr) != 0 || ::setgid(kNobody) != 0 || ::setuid(kNobody) != 0)) {
      ::_exit(98);
    }
    std::vector<char*> arguments = {const_cast<char*>("ensemble")};
    for (const std::string& argument : options.arguments) {
      arguments.push_back(const_cast<char*>(argument.c_str()));
    }
    arguments.push_back(nullptr);
    ::execv(ENSEMBLE_TEST_EXECUTABLE, arguments.data());
    ::_exit(99);
  }
  input_ = std::move(input.test);
  output_ = std::move(output.test);
  errors_ = std::move(errors.test);
}

RunningCommand::~RunningCommand() {
  if (process_ > 0) {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
}

void RunningCommand::type(const std::string& keys) {
  if (::write(input_.get(), keys.data(), keys.size()) != static_cast<ssize_t>(keys.size())) {
    throw std::runtime_error("cannot type");
  }
}

void RunningCommand::end_input() {
  const vmm::FileDescriptor closed = std::move(input_);
}

void RunningCommand::close_output() {
  const vmm::FileDescriptor closed = std::move(output_);
}

void RunningCommand::send_signal(int signal_number) const {
  ::kill(process_, signal_number);
}

bool RunningCommand::read_some(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  std::array<pollfd, 2> polled = {pollfd{output_ ? output_.get() : -1, POLLIN, 0},
                                  pollfd{errors_ ? errors_.get() : -1, POLLIN, 0}};
  if (left.count() <= 0 ||
      ::poll(polled.data(), polled.size(), static_cast<int>(left.count())) <= 0) {
    return false;
  }
  if (polled[0].revents != 0) {
    read_ready(output_, output_text_);
  }
  if (polled[1].revents != 0) {
    read_ready(errors_, errors_text_);
  }
  return true;
}

bool RunningCommand::wait_for_output(const std::string& text, std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  while (output_text_.find(text) == std::string::npos) {
    if (!output_ || !read_some(deadline)) {
      return false;
    }
  }
  return true;
}

RunningCommand::Result RunningCommand::finish(std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  Result result;
  while (output_ || errors_) {
    if (!read_some(deadline)) {
      result.timed_out = true;
      ::kill(process_, SIGKILL);
      break;
    }
  }
  int status = 0;
  ::waitpid(process_, &status, 0);
  process_ = -1;
  result.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  result.output = output_text_;
  result.errors = errors_text_;
  return result;
}

RunningCommand::Result run_ensemble(const std::vector<std::string>& arguments,
                                    const std::map<std::string, std::string>& environment,
                                    bool unprivileged) {
  RunningCommand command({.arguments = arguments,
                          .environment = environment,
                          .input = {},
                          .output_file = {},
                          .unprivileged = unprivileged});
  return command.finish();
}

std::vector<pid_t> vmm_processes_of(pid_t parent) {
  std::vector<pid_t> found;
  std::ifstream children("/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) +
                         "/children");
  for (pid_t child = 0; children >> child;) {
    found.push_back(child);
  }
  return found;
}

}  // namespace ensemble::control
