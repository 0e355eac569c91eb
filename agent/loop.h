#pragma once

#include <sys/epoll.h>
#include <time.h>

#include <cstdint>

namespace ensemble::agent {

// Told of what happens on a descriptor.
class Watcher {
 public:
  virtual ~Watcher() = default;
  virtual void ready(int descriptor, std::uint32_t events) = 0;
};

// The agent's one epoll instance. At most 1024 descriptors, by number.
class Loop {
 public:
  static constexpr int kMost = 1024;

  bool create();
  // False: the descriptor cannot be watched, or is too large. Watching it again changes the events.
  bool watch(int descriptor, std::uint32_t events, Watcher& watcher);
  void forget(int descriptor);
  // Closes a descriptor that is the only one of its file, which ends the watch as well.
  void close(int descriptor);
  // Waits at most `milliseconds` (-1: for ever) and tells who is concerned.
  void run_once(int milliseconds);

 private:
  int epoll_ = -1;
  Watcher* watchers_[kMost] = {};
};

inline std::int64_t monotonic_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace ensemble::agent
