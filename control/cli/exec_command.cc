#include "control/cli/exec_command.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

#include "control/cli/signals.h"
#include "control/raw_terminal.h"
#include "vmm/event_fd.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {
namespace {

constexpr std::string_view kDevicePrefix = "devices/";
constexpr int kFailed = 125;
constexpr int kCannotRun = 126;
constexpr int kNotFound = 127;
constexpr int kSignalled = 128;
constexpr std::size_t kChunk = std::size_t{64} << 10;
// How long a signal may wait behind input that the program does not take.
constexpr std::chrono::milliseconds kSignalPatience{500};
// How long nothing may come of a signal that is to end the program until the device is asked
// whether it answers at all.
constexpr std::chrono::milliseconds kEndPatience{2000};

int complain(const std::string& message) {
  fmt::print(stderr, "ensemble: {}\n", message);
  return kFailed;
}

Result<std::uint32_t> parse_number(std::string_view text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    return fail("--user is not UID or UID:GID, both numbers");
  }
  return number;
}

Result<void> set_user(std::string_view user, v1::RunRequest::Begin& begin) {
  const std::size_t colon = user.find(':');
  const auto id = parse_number(user.substr(0, colon));
  if (!id) {
    return std::unexpected(id.error());
  }
  begin.set_user_id(*id);
  if (colon != std::string_view::npos) {
    const auto group = parse_number(user.substr(colon + 1));
    if (!group) {
      return std::unexpected(group.error());
    }
    begin.set_group_id(*group);
  }
  return {};
}

void set_size(v1::TerminalSize& size) {
  const TerminalSize cells = terminal_size(STDIN_FILENO);
  size.set_columns(cells.columns);
  size.set_rows(cells.rows);
}

Result<v1::RunRequest::Begin> make_begin(const ExecOptions& options) {
  v1::RunRequest::Begin begin;
  for (const std::string& word : options.command) {
    begin.add_command(word);
  }
  if (begin.command().empty()) {
    return fail("say which program to run, as in `ensemble exec DEVICE -- uname -a`");
  }
  for (const std::string& variable : options.environment) {
    const std::size_t equals = variable.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail("--env is '{}', expected NAME=VALUE", variable);
    }
    (*begin.mutable_environment())[variable.substr(0, equals)] = variable.substr(equals + 1);
  }
  begin.set_working_directory(options.directory);
  if (options.user) {
    if (auto set = set_user(*options.user, begin); !set) {
      return std::unexpected(set.error());
    }
  }
  if (options.on_terminal) {
    set_size(*begin.mutable_terminal());
  }
  return begin;
}

// Asks the daemon only for what may be the first digits of a uid: a call is a millisecond.
Result<std::string> find_name(Client& client, const std::string& device) {
  const std::string_view id = std::string_view(device).substr(kDevicePrefix.size());
  if (id.find_first_not_of("0123456789abcdef-") != std::string_view::npos) {
    return device;
  }
  auto found = client.get(device);
  return found ? Result<std::string>(found->name()) : std::unexpected(found.error());
}

// The user's half of the call: input, signals and the terminal's size, each on a thread of its own
// so that signals come through when input does not.
class UserSide {
 public:
  // `signals` is a signalfd; `end` tells that the call is over; `answers` asks the device.
  UserSide(RunningProgram& program, const vmm::EventFd& end, int signals,
           std::function<Result<void>()> answers)
      : program_(program), end_(end), signals_(signals), answers_(std::move(answers)) {}

  void pass_input() {
    std::array<char, kChunk> chunk;
    while (wait_for(STDIN_FILENO) == Came::kReady) {
      const ssize_t count = ::read(STDIN_FILENO, chunk.data(), chunk.size());
      if (count < 0 && errno == EINTR) {
        continue;
      }
      v1::RunRequest request;
      if (count <= 0) {
        request.set_end_of_input(true);
        (void)send(request);
        return;
      }
      request.set_standard_input(chunk.data(), static_cast<std::size_t>(count));
      if (!send(request)) {
        return;
      }
    }
  }

  void pass_signals() {
    int asked_to_end = 0;  // by this signal, a moment ago
    for (;;) {
      const Came came = wait_for(signals_, asked_to_end != 0 ? kEndPatience.count() : -1);
      if (came == Came::kEnd) {
        return;
      }
      if (came == Came::kNothing) {
        const auto answered = answers_();
        if (!answered) {
          give_up(asked_to_end, answered.error().message());
          return;
        }
        asked_to_end = 0;  // The program takes its time.
        continue;
      }
      signalfd_siginfo taken{};
      if (::read(signals_, &taken, sizeof taken) != sizeof taken) {
        continue;
      }
      v1::RunRequest request;
      if (taken.ssi_signo == SIGWINCH) {
        set_size(*request.mutable_size());
      } else {
        request.set_signal(taken.ssi_signo);
      }
      const int number = static_cast<int>(taken.ssi_signo);
      if (ends(number) && asked_to_end != 0) {
        give_up(number, "it was asked to end twice");
        return;
      }
      const std::unique_lock guard(mutex_, kSignalPatience);
      if (guard.owns_lock()) {
        (void)program_.send(request);
        asked_to_end = ends(number) ? number : asked_to_end;
      } else if (ends(number)) {
        give_up(number, "it takes no input, and the signal would come behind that");
        return;
      } else if (number != SIGWINCH) {
        complain(fmt::format("signal {} is lost: the program takes no input", number));
      }
    }
  }

  // The signal that has ended the call; 0: none.
  int cancelled_by() const { return cancelled_by_; }

 private:
  enum class Came { kReady, kNothing, kEnd };

  static bool ends(int signal) {
    return signal == SIGINT || signal == SIGTERM || signal == SIGHUP || signal == SIGQUIT;
  }

  // Until there is something to read, the call is over or the time (in ms; -1: any) has passed.
  Came wait_for(int descriptor, std::int64_t patience = -1) const {
    std::array<pollfd, 2> polled = {pollfd{.fd = end_.fd(), .events = POLLIN, .revents = 0},
                                    pollfd{.fd = descriptor, .events = POLLIN, .revents = 0}};
    int count = 0;
    while ((count = ::poll(polled.data(), polled.size(), static_cast<int>(patience))) < 0 &&
           errno == EINTR) {
    }
    return polled[0].revents != 0 ? Came::kEnd : count == 0 ? Came::kNothing : Came::kReady;
  }

  void give_up(int signal, std::string_view why) {
    complain(fmt::format("the program is given up: {}", why));
    cancelled_by_ = signal;
    program_.cancel();
  }

  bool send(const v1::RunRequest& request) {
    const std::lock_guard guard(mutex_);
    return program_.send(request);
  }

  RunningProgram& program_;
  const vmm::EventFd& end_;
  const int signals_;
  const std::function<Result<void>()> answers_;
  std::timed_mutex mutex_;
  std::atomic<int> cancelled_by_ = 0;
};

int explain(const Error& error, const std::string& reason, int cancelled_by) {
  if (cancelled_by != 0) {
    return kSignalled + cancelled_by;
  }
  complain(error.message());
  if (reason != "CANNOT_RUN") {
    return kFailed;
  }
  // The directory to start it in may be what is missing.
  const bool is_missing = error.message().starts_with("cannot run") &&
                          error.message().ends_with("No such file or directory");
  return is_missing ? kNotFound : kCannotRun;
}

// Passes the program's output on until it has ended.
int pass_output(RunningProgram& program, const UserSide& user) {
  for (;;) {
    const auto response = program.read();
    if (!response) {
      return explain(response.error(), program.reason(), user.cancelled_by());
    }
    bool written = true;
    switch (response->response_case()) {
      case v1::RunResponse::kStandardOutput:
        written = write_all(STDOUT_FILENO, response->standard_output());
        break;
      case v1::RunResponse::kStandardError:
        written = write_all(STDERR_FILENO, response->standard_error());
        break;
      case v1::RunResponse::kEnded:
        return response->ended().has_signal()
                   ? kSignalled + static_cast<int>(response->ended().signal())
                   : static_cast<int>(response->ended().exit_code());
      default:
        break;
    }
    if (!written) {
      const int error = errno;
      program.cancel();  // As for a program here, whose reader has gone.
      return error == EPIPE
                 ? kSignalled + SIGPIPE
                 : complain(
                       Error::from_errno("cannot write what the program prints", error).message());
    }
  }
}

}  // namespace

int run_in_device(Client& client, const std::string& device, const ExecOptions& options) {
  const vmm::FileDescriptor signals =
      take_signals({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH});
  ::signal(SIGPIPE, SIG_IGN);
  if (options.on_terminal && ::isatty(STDIN_FILENO) != 1) {
    return complain("-t wants a terminal, and standard input is none; leave it out");
  }
  auto begin = make_begin(options);
  if (!begin) {
    return complain(begin.error().message());
  }
  auto end = vmm::EventFd::create();
  const auto name = find_name(client, device);
  if (!end || !name) {
    return complain(end ? name.error().message() : end.error().message());
  }
  begin->set_name(*name);
  begin->set_no_input(!options.interactive);
  const auto program = client.run(*begin);
  RawTerminal terminal(STDIN_FILENO);
  if (options.on_terminal && options.interactive) {
    if (auto entered = terminal.enter(); !entered) {
      return complain(entered.error().message());
    }
  }
  UserSide user(*program, *end, signals.get(), [&]() -> Result<void> {
    const auto root = client.stat_file(*name, "/");
    return root ? Result<void>() : std::unexpected(root.error());
  });
  if (!options.interactive) {  // Once more, for a daemon that does not know `no_input`.
    v1::RunRequest request;
    request.set_end_of_input(true);
    (void)program->send(request);
  }
  std::thread input;
  if (options.interactive) {
    input = std::thread([&user] { user.pass_input(); });
  }
  std::thread told([&user] { user.pass_signals(); });
  const int exit_code = pass_output(*program, user);
  end->signal();
  told.join();
  if (input.joinable()) {
    input.join();
  }
  return exit_code;
}

}  // namespace ensemble::control
