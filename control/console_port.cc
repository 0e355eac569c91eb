#include "control/console_port.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace ensemble::control {

Result<std::unique_ptr<ConsolePort>> ConsolePort::create(vmm::EventLoop& loop,
                                                         vmm::FileDescriptor socket) {
  std::unique_ptr<ConsolePort> port(new ConsolePort(loop));
  if (auto attached = port->attach(std::move(socket)); !attached) {
    return std::unexpected(attached.error());
  }
  return port;
}

std::unique_ptr<ConsolePort> ConsolePort::create_logged(vmm::EventLoop& loop, ConsoleLog log) {
  std::unique_ptr<ConsolePort> port(new ConsolePort(loop));
  port->log_ = std::move(log);
  return port;
}

Result<void> ConsolePort::attach(vmm::FileDescriptor socket) {
  auto watch = loop_.watch(socket.get(), 0, [this](std::uint32_t events) { handle(events); });
  if (!watch) {
    return std::unexpected(watch.error().with_context("cannot watch the console socket"));
  }
  watch_ = std::move(*watch);
  socket_ = std::move(socket);
  peer_open_ = true;
  output_.clear();
  if (reader_waits_) {
    update_events();
  }
  return {};
}

std::size_t ConsolePort::write(std::span<const std::byte> data) {
  if (log_) {
    log_->write(data);
  }
  if (!peer_open_) {
    return data.size();
  }
  const std::size_t taken = std::min(data.size(), kOutputLimit - output_.size());
  const bool was_empty = output_.empty();
  output_.append(reinterpret_cast<const char*>(data.data()), taken);
  writer_waits_ |= !log_ && taken < data.size();
  if (was_empty && taken > 0) {
    update_events();
  }
  return log_ ? data.size() : taken;
}

std::size_t ConsolePort::read(std::span<std::byte> data) {
  if (data.empty()) {
    return 0;
  }
  if (!peer_open_) {
    reader_waits_ = true;  // For one that is attached later.
    return 0;
  }
  const ssize_t count = ::recv(socket_.get(), data.data(), data.size(), MSG_DONTWAIT);
  if (count > 0) {
    return static_cast<std::size_t>(count);
  }
  if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
    lose_peer();
  } else {
    reader_waits_ = true;
    update_events();
  }
  return 0;
}

void ConsolePort::set_handlers(std::function<void()> writable, std::function<void()> readable) {
  on_writable_ = std::move(writable);
  on_readable_ = std::move(readable);
}

void ConsolePort::when_drained(std::function<void()> done) {
  on_drained_ = std::move(done);
  report_drained();
}

void ConsolePort::handle(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    send_output();
  }
  if (reader_waits_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
    reader_waits_ = false;
    if (on_readable_) {
      on_readable_();
    }
  }
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    lose_peer();
  }
  update_events();
  report_drained();
}

void ConsolePort::send_output() {
  const ssize_t count =
      ::send(socket_.get(), output_.data(), output_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (count >= 0) {
    output_.erase(0, static_cast<std::size_t>(count));
  } else if (errno != EAGAIN && errno != EINTR) {
    lose_peer();
  }
  if (writer_waits_ && output_.size() <= kOutputLimit / 2) {
    writer_waits_ = false;
    if (on_writable_) {
      on_writable_();
    }
  }
}

void ConsolePort::lose_peer() {
  peer_open_ = false;
  output_.clear();
  reader_waits_ = true;
  update_events();
}

void ConsolePort::update_events() {
  if (!peer_open_) {
    // A closed socket would report its hang-up for ever.
    watch_ = vmm::FdWatch();
    return;
  }
  const std::uint32_t events = (reader_waits_ ? EPOLLIN : 0U) | (output_.empty() ? 0U : EPOLLOUT);
  // Fails only for a descriptor that is not watched.
  (void)watch_.set_events(events);
}

void ConsolePort::report_drained() {
  if (on_drained_ && output_.empty()) {
    loop_.post(std::exchange(on_drained_, nullptr));
  }
}

}  // namespace ensemble::control
