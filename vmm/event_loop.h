#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "vmm/device_lock.h"
#include "vmm/error.h"
#include "vmm/event_fd.h"
#include "vmm/file_descriptor.h"

namespace ensemble::vmm {

class EventLoop;

// A file descriptor that an EventLoop watches, until this is destroyed; the handler is not called
// afterwards. Not the owner of the descriptor: destroy the watch before closing it. The loop
// outlives the watch. While the loop runs on another thread, hold the device lock to make, change
// or destroy a watch.
class FdWatch {
 public:
  FdWatch() = default;
  FdWatch(FdWatch&& other) noexcept;
  FdWatch& operator=(FdWatch&& other) noexcept;
  ~FdWatch();

  // Changes the events waited for (EPOLLIN, EPOLLOUT…; 0: errors and hang-ups only).
  Result<void> set_events(uint32_t events);

  explicit operator bool() const { return loop_ != nullptr; }

 private:
  friend class EventLoop;
  FdWatch(EventLoop* loop, int fd, uint64_t id) : loop_(loop), fd_(fd), id_(id) {}

  EventLoop* loop_ = nullptr;
  int fd_ = -1;
  uint64_t id_ = 0;
};

// Runs handlers for file descriptors (epoll), and functions that other threads post, on one thread:
// the one that calls `run`. It holds the device lock around each handler and around nothing else,
// so handlers and register accesses of vCPUs never overlap. Level-triggered.
class EventLoop {
 public:
  // Receives the epoll events that are ready.
  using Handler = std::function<void(uint32_t events)>;

  static Result<std::unique_ptr<EventLoop>> create();
  ~EventLoop();

  DeviceLock& device_lock() { return device_lock_; }

  // Calls `handler` whenever `events` (EPOLLIN, EPOLLOUT…) of `fd` are ready. A handler may destroy
  // any watch, its own included. A regular file cannot be watched (EPERM).
  Result<FdWatch> watch(int fd, uint32_t events, Handler handler);

  // Runs `function` on the loop, with the device lock held, after those posted before. Any thread.
  // Functions still queued when the loop is destroyed are dropped.
  void post(std::function<void()> function);

  // Runs until `stop`. The device lock must not be held.
  Result<void> run();

  // Runs what is ready, waiting up to `timeout` for something to be. Returns how many handlers and
  // posted functions ran.
  Result<int> run_once(std::chrono::milliseconds timeout);

  // Makes `run` return once the handler at work has ended; if it does not run now, then at once
  // when called next. Any thread.
  void stop();

 private:
  friend class FdWatch;
  EventLoop(FileDescriptor epoll, EventFd wake);
  void unwatch(int fd, uint64_t id);
  int run_posted();

  DeviceLock device_lock_;
  FileDescriptor epoll_;
  EventFd wake_;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;  // Guards what follows; taken inside the device lock, never around it.
  uint64_t next_id_ = 1;
  std::map<uint64_t, std::shared_ptr<Handler>> handlers_;
  std::vector<std::function<void()>> posted_;
};

}  // namespace ensemble::vmm
