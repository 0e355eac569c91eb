#include "agent/run.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "agent/wire.h"

namespace ensemble::agent {
namespace {

constexpr std::uint32_t kMostTexts = 4096;
// Of output, in one frame.
constexpr std::size_t kPiece = 64 * 1024;

bool read_texts(BodyReader& body, std::vector<std::string>& texts) {
  const auto count = body.number<std::uint32_t>();
  if (count > kMostTexts) {
    return false;
  }
  for (std::uint32_t i = 0; i < count && body.ok(); ++i) {
    texts.emplace_back(body.name());
  }
  return body.ok();
}

// Replaces the variable of the same name, or adds it.
void set_variable(std::vector<std::string>& environment, const std::string& variable) {
  const std::string_view name =
      std::string_view(variable).substr(0, std::min(variable.find('='), variable.size()));
  const auto same = std::find_if(environment.begin(), environment.end(), [&](const auto& each) {
    return each.starts_with(name) && each.size() > name.size() && each[name.size()] == '=';
  });
  same != environment.end() ? * same = variable : environment.emplace_back(variable);
}

}  // namespace

Run::Run(Port& port, std::uint32_t number, Loop& loop, const std::vector<std::string>& environment)
    : Conversation(port, number), loop_(loop), environment_(environment) {
  outputs_[1].channel = kStandardError;
}

Run::~Run() {
  close_input();
  for (Output& output : outputs_) {
    close_output(output);
  }
  for (const int end : ends_) {
    ::close(end);
  }
  if (terminal_ >= 0) {
    loop_.forget(terminal_);
    ::close(terminal_);
  }
}

bool Run::parse(std::string_view body, ChildSettings& settings) {
  BodyReader reader(body);
  flags_ = reader.number<std::uint32_t>();
  settings.as_user = (flags_ & kAsUser) != 0;
  settings.user = reader.number<std::uint32_t>();
  settings.group = reader.number<std::uint32_t>();
  size_ = reader.number<std::uint16_t>();
  size_ |= std::uint32_t{reader.number<std::uint16_t>()} << 16;
  if (const std::string_view directory = reader.name(); !directory.empty()) {
    settings.directory = directory;
  }
  std::vector<std::string> variables;
  if (!read_texts(reader, settings.command) || !read_texts(reader, variables) ||
      settings.command.empty() || settings.command.front().empty()) {
    return false;
  }
  settings.environment = environment_;
  set_variable(settings.environment, "PWD=" + settings.directory);
  for (const std::string& variable : variables) {
    if (variable.find('=') == 0 || variable.find('=') == std::string::npos) {
      return false;
    }
    set_variable(settings.environment, variable);
  }
  return settings.directory.starts_with('/');
}

int Run::open_pipes(ChildSettings& settings) {
  int* const ours[3] = {&input_, &outputs_[0].descriptor, &outputs_[1].descriptor};
  for (int number = 0; number < 3; ++number) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
      return errno;
    }
    const int own = number == 0 ? 1 : 0;  // the writing end of its input
    *ours[number] = ends[own];
    ends_.push_back(ends[1 - own]);
    settings.descriptors[number] = ends[1 - own];
    // Each call takes the device time, and many commands never get input.
    if (number != 0) {
      ::fcntl(ends[own], F_SETFL, O_NONBLOCK);
    }
  }
  return 0;
}

int Run::open_terminal(ChildSettings& settings) {
  terminal_ = ::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (terminal_ < 0 || ::unlockpt(terminal_) != 0) {
    return errno;
  }
  resize(size_);
  char name[64];
  if (const int error = ::ptsname_r(terminal_, name, sizeof name); error != 0) {
    return error;
  }
  const int other = ::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (other < 0) {
    return errno;
  }
  if (settings.as_user) {
    (void)::fchown(other, settings.user, static_cast<gid_t>(-1));
  }
  ends_.push_back(other);
  settings.descriptors[0] = settings.descriptors[1] = settings.descriptors[2] = other;
  settings.on_terminal = true;
  input_ = ::fcntl(terminal_, F_DUPFD_CLOEXEC, 3);
  outputs_[0].descriptor = ::fcntl(terminal_, F_DUPFD_CLOEXEC, 3);
  return 0;
}

void Run::resize(std::uint32_t size) {
  winsize window{};
  window.ws_col = static_cast<unsigned short>(size);
  window.ws_row = static_cast<unsigned short>(size >> 16);
  if (terminal_ >= 0) {
    ::ioctl(terminal_, TIOCSWINSZ, &window);
  }
}

void Run::start(std::string_view body) {
  ChildSettings settings;
  if (!parse(body, settings)) {
    refuse("the request to run a command is malformed", EINVAL);
    return;
  }
  const int opened = (flags_ & kOnTerminal) != 0 ? open_terminal(settings) : open_pipes(settings);
  if (opened != 0) {
    fail("make a terminal or pipes for", settings.command.front(), opened);
    return;
  }
  const StartedChild child = start_child(settings);
  process_ = child.process;
  for (const int end : ends_) {
    ::close(end);
  }
  ends_.clear();
  if (process_ < 0) {
    child.in_directory ? fail("run", settings.command.front(), -process_)
                       : fail("change to the directory", settings.directory, -process_);
    return;
  }
  send(FrameType::kStarted, static_cast<std::uint32_t>(process_));
  for (Output& output : outputs_) {
    if (output.descriptor >= 0) {
      watch(output, true);
    }
  }
}

void Run::take(const FrameHeader& header, std::string_view body) {
  switch (header.type) {
    case FrameType::kData:
      if (terminal_ < 0 && !std::exchange(input_is_nonblocking_, true)) {
        ::fcntl(input_, F_SETFL, O_NONBLOCK);
      }
      if (waiting_.size() + body.size() > kFirstCredit) {
        refuse("more input came than there was credit for", EINVAL);
        hang_up();
        return;
      }
      waiting_.append(body);
      line_is_open_ = waiting_.empty() ? line_is_open_ : waiting_.back() != '\n';
      feed();
      break;
    case FrameType::kEndOfData:
      input_ends_ = true;
      feed();
      break;
    case FrameType::kSignal:
      signal(static_cast<int>(header.detail));
      break;
    case FrameType::kResize:
      resize(header.detail);
      break;
    default:
      break;
  }
}

// Gives the command what input it takes, and the host credit for as much.
void Run::feed() {
  std::size_t taken = 0;
  while (input_ >= 0 && taken < waiting_.size()) {
    const ssize_t count = ::write(input_, waiting_.data() + taken, waiting_.size() - taken);
    if (count > 0) {
      taken += static_cast<std::size_t>(count);
    } else if (count < 0 && errno == EAGAIN) {
      loop_.watch(input_, EPOLLOUT, *this);
      break;
    } else if (count == 0 || errno != EINTR) {
      close_input();  // it reads no more
    }
  }
  if (input_ < 0) {
    taken = waiting_.size();
  }
  waiting_.erase(0, taken);
  if (taken != 0) {
    send(FrameType::kCredit, static_cast<std::uint32_t>(taken));
  }
  if (!waiting_.empty() || input_ < 0) {
    return;
  }
  loop_.forget(input_);
  if (input_ends_) {
    if (terminal_ >= 0) {
      // The first of two only ends the line.
      constexpr char kEndOfFile[] = {4, 4};
      (void)!::write(input_, kEndOfFile, line_is_open_ ? 2 : 1);
    }
    close_input();
  }
}

void Run::close_input() {
  if (input_ >= 0) {
    // A terminal's is a copy, which epoll goes on watching.
    if (terminal_ >= 0) {
      loop_.forget(input_);
    }
    loop_.close(input_);
    input_ = -1;
  }
}

void Run::close_output(Output& output) {
  if (output.descriptor >= 0) {
    if (terminal_ >= 0) {
      watch(output, false);
    }
    loop_.close(output.descriptor);
    output.watched = false;
    output.descriptor = -1;
  }
}

void Run::watch(Output& output, bool wanted) {
  if (output.watched != wanted) {
    output.watched = wanted;
    wanted ? static_cast<void>(loop_.watch(output.descriptor, EPOLLIN, *this))
           : loop_.forget(output.descriptor);
  }
}

// Sends what an output has. True: nothing is there now.
bool Run::drain(Output& output) {
  static const std::unique_ptr<char[]> buffer(new char[kPiece]);
  while (output.descriptor >= 0 && may_send()) {
    const std::size_t size = std::min<std::size_t>(kPiece, credit());
    const ssize_t count = ::read(output.descriptor, buffer.get(), size);
    if (count > 0) {
      send_data(output.channel, {buffer.get(), static_cast<std::size_t>(count)});
    } else if (count < 0 && errno == EAGAIN) {
      watch(output, true);
      return true;
    } else if (count == 0 || errno != EINTR) {
      close_output(output);  // EIO: of a terminal that nobody has any more
    }
  }
  if (output.descriptor >= 0) {
    watch(output, false);  // until there is credit
    return false;
  }
  return true;
}

void Run::pump() {
  if (process_ < 0 || is_over()) {
    return;
  }
  const bool first = drain(outputs_[0]);
  const bool second = drain(outputs_[1]);
  // What others that hold its output write after its end is not waited for.
  if (status_ != -1 && first && second) {
    const auto code = WIFSIGNALED(status_) ? kKilled | static_cast<std::uint32_t>(WTERMSIG(status_))
                                           : static_cast<std::uint32_t>(WEXITSTATUS(status_));
    finish(FrameType::kEnded, code);
  }
}

void Run::ready(int descriptor, std::uint32_t /*events*/) {
  descriptor == input_ ? feed() : pump();
}

void Run::child_ended(int process, int status) {
  if (process == process_ && status_ == -1) {
    status_ = status;
    close_input();
    pump();
  }
}

void Run::signal(int number) const {
  if (process_ > 0 && status_ == -1 && number > 0 && number <= 64) {
    ::kill(-process_, number);
  }
}

void Run::hang_up() const {
  signal(SIGHUP);
  signal(SIGCONT);
}

void Run::cancel() {
  hang_up();
  Conversation::cancel();
}

}  // namespace ensemble::agent
