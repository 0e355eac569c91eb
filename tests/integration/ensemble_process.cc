#include "tests/integration/ensemble_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

#include "tests/integration/lane.h"

namespace ensemble::integration {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  vmm::FileDescriptor reader;
  vmm::FileDescriptor writer;
};

Pipe make_pipe() {
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw std::runtime_error("pipe2 failed");
  }
  return {vmm::FileDescriptor(ends[0]), vmm::FileDescriptor(ends[1])};
}

// Appends what can be read now; false at the end of the stream.
bool read_some(const vmm::FileDescriptor& from, std::string& into) {
  std::array<char, 65536> buffer;
  const ssize_t count = ::read(from.get(), buffer.data(), buffer.size());
  if (count > 0) {
    into.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return count > 0 || (count < 0 && errno == EINTR);
}

}  // namespace

ChildProcess::ChildProcess(const std::string& program, const Arguments& arguments,
                           const Environment& environment) {
  Pipe input = make_pipe();
  Pipe output = make_pipe();
  Pipe errors = make_pipe();
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ < 0) {
    throw std::runtime_error("fork failed");
  }
  if (pid_ == 0) {
    ::dup2(input.reader.get(), STDIN_FILENO);
    ::dup2(output.writer.get(), STDOUT_FILENO);
    ::dup2(errors.writer.get(), STDERR_FILENO);
    for (const auto& [name, value] : environment) {
      ::setenv(name.c_str(), value.c_str(), 1);
    }
    ::execv(program.c_str(), argv.data());
    ::_exit(127);
  }
  input_ = std::move(input.writer);
  output_ = std::move(output.reader);
  errors_ = std::move(errors.reader);
}

ChildProcess::~ChildProcess() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
}

void ChildProcess::write(const std::string& text) {
  if (::write(input_.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    throw std::runtime_error("cannot write to the program's standard input");
  }
}

void ChildProcess::signal(int number) const {
  ::kill(pid_, number);
}

bool ChildProcess::read_while(const std::function<bool()>& done, std::chrono::milliseconds limit) {
  const auto end = Clock::now() + limit;
  while (!done() && (output_ || errors_)) {
    std::array<pollfd, 2> polled{pollfd{output_.get(), POLLIN, 0},
                                 pollfd{errors_.get(), POLLIN, 0}};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0) {
      return false;
    }
    if (::poll(polled.data(), polled.size(), static_cast<int>(left.count())) < 0 &&
        errno != EINTR) {
      throw std::runtime_error("poll failed");
    }
    if (polled[0].revents != 0 && !read_some(output_, outcome_.output)) {
      output_ = vmm::FileDescriptor();
    }
    if (polled[1].revents != 0 && !read_some(errors_, outcome_.errors)) {
      errors_ = vmm::FileDescriptor();
    }
  }
  return true;
}

bool ChildProcess::read_until(const std::string& text, std::chrono::milliseconds limit) {
  const auto found = [&] { return outcome_.output.find(text) != std::string::npos; };
  read_while(found, limit);
  return found();
}

Outcome ChildProcess::wait(std::chrono::milliseconds limit) {
  close_input();
  const auto end = Clock::now() + limit;
  int status = 0;
  pid_t ended = 0;
  // Streams may stay open in a grandchild, and a process may close its own: both are looked at.
  while ((ended = ::waitpid(pid_, &status, WNOHANG)) == 0 && Clock::now() < end) {
    read_while([] { return false; }, std::chrono::milliseconds(5));
    if (!output_ && !errors_) {
      ::usleep(1000);
    }
  }
  if (ended == 0) {
    outcome_.timed_out = true;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, &status, 0);
  }
  pid_ = -1;
  read_while([] { return false; }, std::chrono::milliseconds(200));
  outcome_.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome_;
}

std::string program_directory() {
  std::array<char, PATH_MAX> path;
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  const std::string program(path.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  return program.substr(0, program.rfind('/'));
}

std::chrono::milliseconds default_limit() {
  return std::chrono::seconds(10) * patience();
}

Outcome run_ensemble(const Arguments& arguments, const Environment& environment,
                     std::optional<std::chrono::milliseconds> limit) {
  return ChildProcess(program_directory() + "/ensemble", arguments, environment)
      .wait(limit.value_or(default_limit()));
}

}  // namespace ensemble::integration
