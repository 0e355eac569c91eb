#pragma once

#include <atomic>
#include <mutex>
#include <thread>

namespace ensemble::vmm {

// The one lock of a machine's devices.
//
// Whoever runs a device's code holds it: the event loop around each handler, a bus around each
// register access that a vCPU makes. So a device, written as if only one thread existed, is right,
// and has no lock of its own. A handler or a register access must not block while it holds the
// lock; blocking work belongs on a worker thread that posts its result to the event loop.
//
// Not recursive. Usable with std::lock_guard and std::unique_lock.
class DeviceLock {
 public:
  DeviceLock() = default;
  DeviceLock(const DeviceLock&) = delete;
  DeviceLock& operator=(const DeviceLock&) = delete;

  void lock() {
    mutex_.lock();
    owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  }

  void unlock() {
    owner_.store(std::thread::id(), std::memory_order_relaxed);
    mutex_.unlock();
  }

  bool held_by_this_thread() const {
    return owner_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  }

 private:
  std::mutex mutex_;
  std::atomic<std::thread::id> owner_;
};

}  // namespace ensemble::vmm
