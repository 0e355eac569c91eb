#include "vmm/timer.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace ensemble::vmm {
namespace {

timespec to_timespec(std::chrono::nanoseconds time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  return {.tv_sec = seconds.count(), .tv_nsec = (time - seconds).count()};
}

}  // namespace

Result<std::unique_ptr<Timer>> Timer::create(EventLoop& loop, std::function<void()> handler) {
  FileDescriptor descriptor(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!descriptor) {
    return std::unexpected(Error::from_errno("cannot create a timer", errno));
  }
  std::unique_ptr<Timer> timer(new Timer(std::move(descriptor), std::move(handler)));
  auto watch = loop.watch(timer->descriptor_.get(), EPOLLIN, [raw = timer.get()](uint32_t) {
    uint64_t expirations = 0;
    // Nothing to read: it was disarmed or armed anew since epoll saw it expire.
    if (::read(raw->descriptor_.get(), &expirations, sizeof(expirations)) ==
        static_cast<ssize_t>(sizeof(expirations))) {
      raw->handler_();
    }
  });
  if (!watch) {
    return std::unexpected(watch.error());
  }
  timer->watch_ = std::move(*watch);
  return timer;
}

void Timer::arm(std::chrono::nanoseconds delay, std::chrono::nanoseconds interval) {
  const itimerspec setting = {
      .it_interval = to_timespec(std::max(interval, std::chrono::nanoseconds(0))),
      .it_value = to_timespec(std::max(delay, std::chrono::nanoseconds(1)))};
  ::timerfd_settime(descriptor_.get(), 0, &setting, nullptr);
}

void Timer::disarm() {
  const itimerspec setting = {};
  ::timerfd_settime(descriptor_.get(), 0, &setting, nullptr);
}

}  // namespace ensemble::vmm
