#include "agent/loop.h"

#include <unistd.h>

namespace ensemble::agent {

bool Loop::create() {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  return epoll_ >= 0;
}

bool Loop::watch(int descriptor, std::uint32_t events, Watcher& watcher) {
  if (descriptor < 0 || descriptor >= kMost) {
    return false;
  }
  epoll_event event{};
  event.events = events;
  event.data.fd = descriptor;
  const int operation = watchers_[descriptor] == nullptr ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (::epoll_ctl(epoll_, operation, descriptor, &event) != 0) {
    return false;
  }
  watchers_[descriptor] = &watcher;
  return true;
}

void Loop::forget(int descriptor) {
  if (descriptor >= 0 && descriptor < kMost && watchers_[descriptor] != nullptr) {
    ::epoll_ctl(epoll_, EPOLL_CTL_DEL, descriptor, nullptr);
    watchers_[descriptor] = nullptr;
  }
}

void Loop::close(int descriptor) {
  if (descriptor >= 0 && descriptor < kMost) {
    watchers_[descriptor] = nullptr;
  }
  ::close(descriptor);
}

void Loop::run_once(int milliseconds) {
  epoll_event events[16];
  const int count = ::epoll_wait(epoll_, events, 16, milliseconds);
  for (int i = 0; i < count; ++i) {
    // Who was told before may have ended this one.
    if (Watcher* const watcher = watchers_[events[i].data.fd]; watcher != nullptr) {
      watcher->ready(events[i].data.fd, events[i].events);
    }
  }
}

}  // namespace ensemble::agent
