#include "control/daemon/acceptor.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

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
  auto pause =
      LoopTimer::create(loop, [raw = made.get()] { (void)raw->watch_.set_events(EPOLLIN); });
  if (!pause) {
    return std::unexpected(pause.error());
  }
  made->pause_ = std::move(*pause);
  return made;
}

void Acceptor::accept() {
  vmm::FileDescriptor socket(
      ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket) {
    connected_(std::move(socket));
  } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
    spdlog::warn("no more connections for now: {}", std::strerror(errno));
    (void)watch_.set_events(0);
    pause_->set(kPause);
  }
}

}  // namespace ensemble::control
