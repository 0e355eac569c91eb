#include "control/loop_timer.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace ensemble::control {

Result<std::unique_ptr<LoopTimer>> LoopTimer::create(vmm::EventLoop& loop,
                                                     std::function<void()> handler) {
  vmm::FileDescriptor descriptor(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!descriptor) {
    return std::unexpected(Error::from_errno("cannot make a timer", errno));
  }
  std::unique_ptr<LoopTimer> timer(new LoopTimer(std::move(descriptor), std::move(handler)));
  auto watch = loop.watch(timer->timer_.get(), EPOLLIN, [raw = timer.get()](std::uint32_t) {
    std::uint64_t times = 0;
    // Nothing to read: it was set anew meanwhile.
    if (::read(raw->timer_.get(), &times, sizeof times) == sizeof times) {
      const std::function<void()> ring = raw->handler_;  // It may destroy the timer.
      ring();
    }
  });
  if (!watch) {
    return std::unexpected(watch.error());
  }
  timer->watch_ = std::move(*watch);
  return timer;
}

void LoopTimer::set(std::chrono::nanoseconds delay) {
  const auto count = std::max<std::int64_t>(delay.count(), 1);
  itimerspec times{};
  times.it_value.tv_sec = count / 1'000'000'000;
  times.it_value.tv_nsec = count % 1'000'000'000;
  ::timerfd_settime(timer_.get(), 0, &times, nullptr);
}

void LoopTimer::cancel() {
  const itimerspec none{};
  ::timerfd_settime(timer_.get(), 0, &none, nullptr);
}

}  // namespace ensemble::control
