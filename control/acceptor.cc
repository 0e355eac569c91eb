#include "control/acceptor.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace ensemble::control {
namespace {

// While this process has no descriptor left.
constexpr std::chrono::milliseconds kPause{100};

}  // namespace

Result<std::unique_ptr<Acceptor>> Acceptor::create(vmm::EventLoop& loop, vmm::FileDescriptor socket,
                                                   Handler connected) {
  std::unique_ptr<Acceptor> made(new Acceptor(std::move(socket), std::move(connected)));
  auto watch = loop.watch(made->socket_.get(), EPOLLIN,
                          [raw = made.get()](std::uint32_t) { raw->accept(); });
  if (!watch) {
    return std::unexpected(watch.error().with_context("cannot watch the listening socket"));
  }
  made->watch_ = std::move(*watch);
  auto pause = LoopTimer::create(loop, [raw = made.get()] {
    raw->pausing_ = false;
    raw->update_events();
  });
  if (!pause) {
    return std::unexpected(pause.error());
  }
  made->pause_ = std::move(*pause);
  return made;
}

void Acceptor::set_accepting(bool accepting) {
  accepting_ = accepting;
  update_events();
}

void Acceptor::update_events() {
  const std::uint32_t events = accepting_ && !pausing_ ? std::uint32_t{EPOLLIN} : 0;
  if (auto set = watch_.set_events(events); !set) {
    spdlog::error("cannot watch the listening socket: {}", set.error().message());
  }
}

void Acceptor::accept() {
  vmm::FileDescriptor socket(
      ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket) {
    warned_ = false;
    const Handler connected = connected_;  // It may destroy this.
    connected(std::move(socket));
  } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
    if (!std::exchange(warned_, true)) {
      spdlog::warn("no more connections for now: {}", std::strerror(errno));
    }
    pausing_ = true;
    update_events();
    pause_->set(kPause);
  }
}

}  // namespace ensemble::control
