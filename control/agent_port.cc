#include "control/agent_port.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "control/peer.h"

namespace ensemble::control {
namespace {

// Of the socket's queue towards the other end: a few of the guest's buffers at once.
constexpr int kSendBuffer = 1 << 20;

}  // namespace

Result<std::unique_ptr<AgentPort>> AgentPort::create(vmm::EventLoop& loop,
                                                     vmm::FileDescriptor socket) {
  std::unique_ptr<AgentPort> port(new AgentPort(loop));
  auto acceptor = Acceptor::create(
      loop, std::move(socket),
      [raw = port.get()](vmm::FileDescriptor peer) { raw->accept(std::move(peer)); });
  if (!acceptor) {
    return std::unexpected(acceptor.error());
  }
  port->acceptor_ = std::move(*acceptor);
  port->acceptor_->set_accepting(false);
  return port;
}

void AgentPort::admit() {
  if (!socket_) {
    acceptor_->set_accepting(true);
  }
}

void AgentPort::accept(vmm::FileDescriptor socket) {
  if (!is_own_or_root(socket.get())) {
    spdlog::warn("a connection of another user was closed");
    return;
  }
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  // Each event is told once: a hang-up, which epoll always reports, would otherwise keep the event
  // loop spinning while the guest takes no bytes.
  auto watch =
      loop_.watch(socket.get(), EPOLLONESHOT, [this](std::uint32_t events) { handle(events); });
  if (!watch) {
    spdlog::error("{}", watch.error().message());
    return;
  }
  watch_ = std::move(*watch);
  socket_ = std::move(socket);
  acceptor_->set_accepting(false);
  reader_waits_ = true;  // To hear of its end before anybody reads.
  update_events();
  if (handlers_.connected) {
    handlers_.connected();
  }
}

void AgentPort::disconnect() {
  watch_ = {};
  socket_ = {};
  reader_waits_ = writer_waits_ = false;
}

void AgentPort::handle(std::uint32_t events) {
  const bool readable = reader_waits_ && (events & ~std::uint32_t{EPOLLOUT}) != 0;
  const bool writable = writer_waits_ && (events & ~std::uint32_t{EPOLLIN}) != 0;
  reader_waits_ = reader_waits_ && !readable;
  writer_waits_ = writer_waits_ && !writable;
  if (readable && peer_has_gone()) {
    disconnect();
    if (handlers_.disconnected) {
      handlers_.disconnected();
    }
    return;
  }
  update_events();
  if (writable && handlers_.writable) {
    handlers_.writable();
  }
  if (readable && handlers_.readable) {
    handlers_.readable();
  }
}

// What it has sent is read first.
bool AgentPort::peer_has_gone() const {
  std::byte byte{};
  const ssize_t count = ::recv(socket_.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK);
  return count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR);
}

void AgentPort::update_events() {
  if (!watch_) {
    return;
  }
  const std::uint32_t wanted =
      (reader_waits_ ? std::uint32_t{EPOLLIN} : 0) | (writer_waits_ ? std::uint32_t{EPOLLOUT} : 0);
  // With no event set, EPOLLONESHOT would still tell of a hang-up: the watch stays as it fired.
  if (wanted == 0) {
    return;
  }
  if (auto set = watch_.set_events(wanted | EPOLLONESHOT); !set) {
    spdlog::error("{}", set.error().message());
  }
}

std::size_t AgentPort::write(std::span<const std::byte> data) {
  if (!socket_) {
    return data.size();
  }
  std::size_t done = 0;
  while (done < data.size()) {
    const ssize_t count =
        ::send(socket_.get(), data.data() + done, data.size() - done, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) {
      done += static_cast<std::size_t>(count);
    } else if (errno == EAGAIN) {
      writer_waits_ = true;
      update_events();
      return done;
    } else if (errno != EINTR) {
      return data.size();  // It has gone, which reading will tell.
    }
  }
  return done;
}

std::size_t AgentPort::read(std::span<std::byte> data) {
  if (!socket_ || data.empty()) {
    return 0;
  }
  for (;;) {
    const ssize_t count = ::recv(socket_.get(), data.data(), data.size(), MSG_DONTWAIT);
    if (count > 0) {
      return static_cast<std::size_t>(count);
    }
    if (count < 0 && errno == EINTR) {
      continue;
    }
    reader_waits_ = true;  // Also at the end, which the event loop finds.
    update_events();
    return 0;
  }
}

}  // namespace ensemble::control
