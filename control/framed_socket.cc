#include "control/framed_socket.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace ensemble::control {

Result<std::unique_ptr<FramedSocket>> FramedSocket::create(vmm::EventLoop& loop,
                                                           vmm::FileDescriptor socket,
                                                           Handlers handlers) {
  std::unique_ptr<FramedSocket> made(
      new FramedSocket(loop, std::move(socket), std::move(handlers)));
  auto watch = loop.watch(made->socket_.get(), EPOLLIN,
                          [raw = made.get()](std::uint32_t events) { raw->handle(events); });
  if (!watch) {
    return std::unexpected(watch.error().with_context("cannot watch the control socket"));
  }
  made->watch_ = std::move(*watch);
  return made;
}

void FramedSocket::handle(std::uint32_t events) {
  const std::shared_ptr<bool> alive = alive_;
  if ((events & EPOLLOUT) != 0) {
    write();
  }
  if (*alive && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
    read();
  }
}

void FramedSocket::read() {
  const std::shared_ptr<bool> alive = alive_;
  const auto input = reader_.fill(socket_.get());
  for (;;) {
    const auto taken = handlers_.take(*this, reader_);
    if (!*alive || !socket_) {
      return;
    }
    if (!taken) {
      close(taken.error());
      return;
    }
    if (!*taken) {
      break;
    }
  }
  if (!input) {
    close(input.error());
  } else if (*input == MessageReader::Input::kEnd) {
    close(std::nullopt);
  }
}

void FramedSocket::send(const google::protobuf::MessageLite& message) {
  if (!socket_) {
    return;
  }
  if (auto encoded = append_message(output_, message); !encoded) {
    close(encoded.error());
    return;
  }
  write();
}

void FramedSocket::write() {
  while (!output_.empty()) {
    const ssize_t count =
        ::send(socket_.get(), output_.data(), output_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) {
      output_.erase(0, static_cast<std::size_t>(count));
    } else if (errno != EINTR) {
      break;
    }
  }
  // An end that is gone is noticed when the socket is read.
  if (output_.size() > kOutputLimit) {
    close(Error("the other end does not read what it is sent"));
    return;
  }
  (void)watch_.set_events(EPOLLIN | (output_.empty() ? 0U : EPOLLOUT));
}

void FramedSocket::flush(std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (socket_ && !output_.empty()) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd polled{.fd = socket_.get(), .events = POLLOUT, .revents = 0};
    if (left.count() <= 0 || ::poll(&polled, 1, static_cast<int>(left.count())) <= 0) {
      return;
    }
    const ssize_t count =
        ::send(socket_.get(), output_.data(), output_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN && errno != EINTR) {
      return;
    }
    output_.erase(0, count > 0 ? static_cast<std::size_t>(count) : 0);
  }
}

vmm::FileDescriptor FramedSocket::release() {
  if (!output_.empty() || !reader_.empty()) {
    return {};
  }
  watch_ = vmm::FdWatch();
  return std::exchange(socket_, vmm::FileDescriptor());
}

void FramedSocket::close(std::optional<Error> error) {
  watch_ = vmm::FdWatch();
  output_.clear();
  { const vmm::FileDescriptor closed = std::move(socket_); }
  // Not from here: the caller may be in the middle of telling several links.
  loop_.post([this, alive = alive_, error = std::move(error)] {
    if (*alive) {
      handlers_.closed(*this, error);
    }
  });
}

}  // namespace ensemble::control
