#include "control/libvirt/agent_relay.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <chrono>
#include <span>
#include <utility>

namespace ensemble::control {
namespace {

constexpr std::size_t kChunk = 65536;
// A guest sees the end of a connection much sooner.
constexpr std::chrono::milliseconds kPause{500};

Result<vmm::FileDescriptor> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail("the path '{}' is too long for a socket", path);
  }
  path.copy(address.sun_path, path.size());
  vmm::FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket ||
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return std::unexpected(Error::from_errno("cannot connect to QEMU at '" + path + "'", errno));
  }
  return socket;
}

bool is_only_late(int error_number) {
  return error_number == EAGAIN || error_number == EINTR;
}

}  // namespace

Result<std::unique_ptr<AgentRelay>> AgentRelay::create(vmm::EventLoop& loop,
                                                       device::PortBackend& port,
                                                       std::string path) {
  std::unique_ptr<AgentRelay> relay(new AgentRelay(loop, port, std::move(path)));
  auto timer = LoopTimer::create(loop, [raw = relay.get()] {
    if (!raw->port_.connected()) {
      raw->port_.admit();
    }
  });
  if (!timer) {
    return std::unexpected(timer.error());
  }
  relay->timer_ = std::move(*timer);
  port.set_handlers({.connected = [raw = relay.get()] { raw->connect(); },
                     .disconnected = [raw = relay.get()] { raw->disconnect(); },
                     .writable = [raw = relay.get()] { raw->move_output(); },
                     .readable = [raw = relay.get()] { raw->move_input(); }});
  return relay;
}

AgentRelay::~AgentRelay() {
  port_.set_handlers({});
  port_.disconnect();
}

void AgentRelay::admit() {
  runs_ = true;
  admit_later();
}

void AgentRelay::hold() {
  runs_ = false;
  timer_->cancel();
}

void AgentRelay::admit_later() {
  if (runs_) {
    timer_->set(kPause);
  }
}

void AgentRelay::connect() {
  auto socket = connect_to(path_);
  if (socket) {
    auto watch =
        loop_.watch(socket->get(), EPOLLONESHOT, [this](std::uint32_t events) { handle(events); });
    if (watch) {
      socket_ = std::move(*socket);
      watch_ = std::move(*watch);
      move_input();
      return;
    }
    socket = std::unexpected(watch.error());
  }
  spdlog::warn("the agent's port takes no connection: {}", socket.error().message());
  port_.disconnect();
  admit_later();
}

// The port's other end is gone, or QEMU is.
void AgentRelay::disconnect() {
  watch_ = vmm::FdWatch();
  socket_ = vmm::FileDescriptor();
  input_.clear();
  output_.clear();
  port_.disconnect();
  admit_later();
}

void AgentRelay::handle(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    move_input();
  }
  if ((events & ~std::uint32_t{EPOLLOUT}) != 0 && output_.empty()) {
    move_output();
  }
}

// From the port to QEMU.
void AgentRelay::move_input() {
  while (socket_) {
    if (input_.empty()) {
      input_.resize(kChunk);
      input_.resize(port_.read(std::as_writable_bytes(std::span(input_))));
      if (input_.empty()) {
        break;
      }
    }
    const ssize_t count =
        ::send(socket_.get(), input_.data(), input_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && is_only_late(errno)) {
      break;
    }
    // Of a QEMU that has gone, reading tells the end.
    input_.erase(0, count < 0 ? input_.size() : static_cast<std::size_t>(count));
  }
  update_events();
}

// From QEMU to the port. One piece at a time, so that input gets its turn.
void AgentRelay::move_output() {
  if (socket_ && output_.empty()) {
    output_.resize(kChunk);
    const ssize_t count = ::recv(socket_.get(), output_.data(), output_.size(), MSG_DONTWAIT);
    if (count == 0 || (count < 0 && !is_only_late(errno))) {
      disconnect();
      return;
    }
    output_.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
  }
  if (!output_.empty()) {
    output_.erase(0, port_.write(std::as_bytes(std::span(output_))));
  }
  update_events();
}

void AgentRelay::update_events() {
  const std::uint32_t events = (output_.empty() ? std::uint32_t{EPOLLIN} : 0U) |
                               (input_.empty() ? 0U : std::uint32_t{EPOLLOUT});
  // Told once: a hang-up, which is told whether asked for or not, would keep the loop spinning
  // while the port takes nothing.
  if (!watch_ || events == 0) {
    return;
  }
  if (auto set = watch_.set_events(events | EPOLLONESHOT); !set) {
    spdlog::error("cannot watch the agent's port: {}", set.error().message());
  }
}

}  // namespace ensemble::control
