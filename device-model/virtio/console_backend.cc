#include "device-model/virtio/console_backend.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace ensemble::device {
namespace {

// The most written at once. A pipe that poll() calls writable takes this much without blocking.
constexpr std::size_t kMostBytesAtOnce = 4096;

// A descriptor of our own for the file behind `fd`, which never blocks. The original's flags are
// shared with other processes and stay as they are: a pipe or terminal is opened anew; for others
// a duplicate does, since files do not block and sockets can be asked not to.
Result<vmm::FileDescriptor> open_privately(int fd, int access) {
  struct stat status = {};
  if (::fstat(fd, &status) != 0) {
    return std::unexpected(
        Error::from_errno(fmt::format("cannot use descriptor {} for a console", fd), errno));
  }
  if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) {
    const std::string path = fmt::format("/proc/self/fd/{}", fd);
    vmm::FileDescriptor reopened(::open(path.c_str(), access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (reopened) {
      return reopened;
    }
  }
  vmm::FileDescriptor copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) {
    return std::unexpected(
        Error::from_errno(fmt::format("cannot duplicate descriptor {}", fd), errno));
  }
  return copy;
}

// Whether `fd` can be used now without blocking, whatever its flags.
bool is_ready(int fd, short events) {
  pollfd poll = {.fd = fd, .events = events, .revents = 0};
  return ::poll(&poll, 1, 0) > 0;
}

// write(2) that neither blocks nor raises SIGPIPE on a socket.
ssize_t write_some(int fd, std::span<const std::byte> data) {
  const ssize_t sent = ::send(fd, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent < 0 && errno == ENOTSOCK ? ::write(fd, data.data(), data.size()) : sent;
}

}  // namespace

Result<std::unique_ptr<FileConsoleBackend>> FileConsoleBackend::create(vmm::EventLoop& loop,
                                                                       int input, int output,
                                                                       Options options) {
  std::unique_ptr<FileConsoleBackend> backend(new FileConsoleBackend(loop, std::move(options)));
  if (input >= 0) {
    auto opened = open_privately(input, O_RDONLY);
    if (!opened) {
      return std::unexpected(opened.error());
    }
    backend->input_ = *std::move(opened);
  }
  if (output >= 0) {
    auto opened = open_privately(output, O_WRONLY);
    if (!opened) {
      return std::unexpected(opened.error());
    }
    backend->output_ = *std::move(opened);
  }
  return backend;
}

void FileConsoleBackend::set_handlers(std::function<void()> writable,
                                      std::function<void()> readable) {
  on_writable_ = std::move(writable);
  on_readable_ = std::move(readable);
}

// Waits for input once. No watch is left in place meanwhile: a hang-up, which epoll always reports,
// would keep the event loop spinning while the guest has no room for input.
void FileConsoleBackend::wait_for_input() {
  auto watch = loop_.watch(input_.get(), EPOLLIN, [this](std::uint32_t) {
    input_watch_ = {};
    if (on_readable_) {
      on_readable_();
    }
  });
  if (watch) {
    input_watch_ = *std::move(watch);
  } else {
    // Never reached for what poll() can wait for.
    input_ended_ = true;
  }
}

std::size_t FileConsoleBackend::read(std::span<std::byte> data) {
  while (input_ && !input_ended_ && !data.empty()) {
    if (!is_ready(input_.get(), POLLIN)) {
      wait_for_input();
      return 0;
    }
    const ssize_t got = ::read(input_.get(), data.data(), data.size());
    if (got > 0) {
      const std::size_t size = filter(data.first(static_cast<std::size_t>(got)));
      if (size > 0) {
        return size;
      }
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      return end_input(data);
    }
  }
  return 0;
}

std::size_t FileConsoleBackend::filter(std::span<std::byte> data) const {
  return options_.input_filter ? std::min(data.size(), options_.input_filter(data)) : data.size();
}

std::size_t FileConsoleBackend::end_input(std::span<std::byte> data) {
  input_ended_ = true;
  input_watch_ = {};
  const auto last = std::as_bytes(std::span(options_.at_end_of_input));
  const std::size_t size = std::min(last.size(), data.size());
  std::ranges::copy(last.first(size), data.begin());
  return size;
}

std::size_t FileConsoleBackend::write(std::span<const std::byte> data) {
  if (!output_ || output_lost_) {
    return data.size();
  }
  std::size_t done = 0;
  while (done < data.size()) {
    if (!is_ready(output_.get(), POLLOUT)) {
      wait_for_output();
      break;
    }
    const auto piece = data.subspan(done, std::min(kMostBytesAtOnce, data.size() - done));
    const ssize_t written = write_some(output_.get(), piece);
    if (written > 0) {
      done += static_cast<std::size_t>(written);
    } else if (written < 0 && errno == EAGAIN) {
      wait_for_output();
      break;
    } else if (written == 0 || errno != EINTR) {
      output_lost_ = true;
      output_watch_ = {};
      return data.size();
    }
  }
  return done;
}

void FileConsoleBackend::wait_for_output() {
  auto watch = loop_.watch(output_.get(), EPOLLOUT, [this](std::uint32_t) {
    output_watch_ = {};
    if (on_writable_) {
      on_writable_();
    }
  });
  if (watch) {
    output_watch_ = *std::move(watch);
  } else {
    // Never reached for what poll() can wait for; dropping output beats stalling the guest.
    output_lost_ = true;
  }
}

}  // namespace ensemble::device
