#include "control/control_link.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace ensemble::control {

namespace proto = ensemble::vmm::v1;

Result<std::unique_ptr<ControlLink>> ControlLink::create(vmm::EventLoop& loop,
                                                         vmm::FileDescriptor socket,
                                                         Handlers handlers) {
  std::unique_ptr<ControlLink> link(new ControlLink(loop, std::move(socket), std::move(handlers)));
  auto watch = loop.watch(link->socket_.get(), EPOLLIN,
                          [raw = link.get()](std::uint32_t events) { raw->handle(events); });
  if (!watch) {
    return std::unexpected(watch.error().with_context("cannot watch the control socket"));
  }
  link->watch_ = std::move(*watch);
  return link;
}

void ControlLink::handle(std::uint32_t events) {
  const std::shared_ptr<bool> alive = alive_;
  if ((events & EPOLLOUT) != 0) {
    write();
  }
  if (*alive && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
    read();
  }
}

void ControlLink::read() {
  const std::shared_ptr<bool> alive = alive_;
  const auto input = reader_.fill(socket_.get());
  for (;;) {
    proto::Request request;
    const auto taken = reader_.take(request);
    if (!taken) {
      close(taken.error());
      return;
    }
    if (!*taken) {
      break;
    }
    handlers_.request(*this, request);
    if (!*alive || !socket_) {
      return;
    }
  }
  if (!input) {
    close(input.error());
  } else if (*input == MessageReader::Input::kEnd) {
    close(std::nullopt);
  }
}

void ControlLink::send(const proto::FromVmm& message) {
  if (!socket_) {
    return;
  }
  if (auto encoded = append_message(output_, message); !encoded) {
    close(encoded.error());
    return;
  }
  write();
}

void ControlLink::write() {
  while (!output_.empty()) {
    const ssize_t count =
        ::send(socket_.get(), output_.data(), output_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) {
      output_.erase(0, static_cast<std::size_t>(count));
    } else if (errno != EINTR) {
      break;
    }
  }
  // A controller that is gone is noticed when the socket is read.
  if (output_.size() > kOutputLimit) {
    close(Error("the controller does not read what it is told"));
    return;
  }
  (void)watch_.set_events(EPOLLIN | (output_.empty() ? 0U : EPOLLOUT));
}

void ControlLink::flush(std::chrono::milliseconds limit) {
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

vmm::FileDescriptor ControlLink::release() {
  if (!output_.empty() || !reader_.empty()) {
    return {};
  }
  watch_ = vmm::FdWatch();
  return std::exchange(socket_, vmm::FileDescriptor());
}

void ControlLink::close(std::optional<Error> error) {
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
