#include "control/libvirt/console_relay.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <span>
#include <utility>

namespace ensemble::control {
namespace {

constexpr std::size_t kChunk = 16384;

Result<vmm::FileDescriptor> listen_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail("the path '{}' is too long for a socket, which takes {} bytes", path,
                sizeof address.sun_path - 1);
  }
  path.copy(address.sun_path, path.size());
  vmm::FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ::unlink(path.c_str());
  if (!socket ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), 1) != 0) {
    return std::unexpected(Error::from_errno("cannot listen at '" + path + "'", errno));
  }
  return socket;
}

}  // namespace

Result<std::unique_ptr<ConsoleRelay>> ConsoleRelay::create(vmm::EventLoop& loop, ConsolePort& port,
                                                           const std::string& path,
                                                           bool takes_input, Handlers handlers) {
  auto socket = listen_at(path);
  if (!socket) {
    return std::unexpected(socket.error());
  }
  std::unique_ptr<ConsoleRelay> relay(
      new ConsoleRelay(loop, port, takes_input, std::move(handlers)));
  auto acceptor = Acceptor::create(
      loop, std::move(*socket),
      [raw = relay.get()](vmm::FileDescriptor qemu) { raw->connect(std::move(qemu)); });
  if (!acceptor) {
    return std::unexpected(acceptor.error());
  }
  relay->acceptor_ = std::move(*acceptor);
  return relay;
}

void ConsoleRelay::connect(vmm::FileDescriptor socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size);
  acceptor_.reset();
  socket_ = std::move(socket);
  connected_ = true;
  auto watch =
      loop_.watch(socket_.get(), EPOLLIN, [this](std::uint32_t events) { handle(events); });
  if (!watch) {
    spdlog::error("cannot watch the console: {}", watch.error().message());
    close();
    return;
  }
  watch_ = std::move(*watch);
  if (handlers_.connected) {
    handlers_.connected(peer.pid);
  }
  move_input();
}

void ConsoleRelay::handle(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    move_input();
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && output_.empty() && !ended_) {
    read();
  }
}

void ConsoleRelay::read() {
  std::array<char, kChunk> chunk;
  const ssize_t count = ::recv(socket_.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
  if (count > 0) {
    const std::string_view bytes(chunk.data(), static_cast<std::size_t>(count));
    if (handlers_.bytes) {
      handlers_.bytes(bytes);
      update_events();
    } else {
      output_ = bytes;
      move_output();
    }
  } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
    ended_ = true;
    input_.clear();
    move_output();
  } else {
    update_events();
  }
}

void ConsoleRelay::move_output() {
  if (!output_.empty()) {
    output_.erase(0, port_.write(std::as_bytes(std::span(output_))));
  }
  if (ended_ && output_.empty()) {
    close();
  } else if (connected_ && !closed_) {
    update_events();
  }
}

void ConsoleRelay::move_input() {
  while (takes_input_ && connected_ && !ended_ && !closed_) {
    if (input_.empty()) {
      input_.resize(kChunk);
      input_.resize(port_.read(std::as_writable_bytes(std::span(input_))));
      if (input_.empty()) {
        break;
      }
    }
    const ssize_t count =
        ::send(socket_.get(), input_.data(), input_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0) {
      if (errno != EAGAIN && errno != EINTR) {
        input_.clear();  // QEMU has gone; the end is read.
      }
      break;
    }
    input_.erase(0, static_cast<std::size_t>(count));
  }
  if (connected_ && !closed_) {
    update_events();
  }
}

void ConsoleRelay::update_events() {
  const std::uint32_t events = (output_.empty() && !ended_ ? std::uint32_t{EPOLLIN} : 0U) |
                               (input_.empty() ? 0U : std::uint32_t{EPOLLOUT});
  // Told once: a hang-up, which is told whether asked for or not, would keep the loop spinning
  // while the port takes nothing.
  if (events == 0) {
    return;
  }
  if (auto set = watch_.set_events(events | EPOLLONESHOT); !set) {
    spdlog::error("cannot watch the console: {}", set.error().message());
  }
}

void ConsoleRelay::give_up() {
  if (!connected_ && !closed_) {
    acceptor_->accept();  // It may have connected and be gone.
    if (!connected_) {
      close();
    }
  }
}

void ConsoleRelay::close() {
  if (closed_) {
    return;
  }
  closed_ = true;
  acceptor_.reset();
  watch_ = vmm::FdWatch();
  socket_ = vmm::FileDescriptor();
  if (handlers_.closed) {
    handlers_.closed();
  }
}

}  // namespace ensemble::control
