#include "device-model/virtio/block_worker.h"

#include <utility>

namespace ensemble::device {

BlockWorker::BlockWorker(const DiskFile& disk, std::string serial, vmm::EventLoop& loop,
                         Finished finished)
    : disk_(disk), serial_(std::move(serial)), loop_(loop), finished_(std::move(finished)) {}

BlockWorker::~BlockWorker() {
  drop_all();
  wait_until_unused();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void BlockWorker::submit(BlockRequest request) {
  if (!thread_.joinable()) {
    thread_ = std::thread([this] { work(); });
  }
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(request));
  }
  changed_.notify_all();
}

void BlockWorker::drop_all() {
  // Destroyed after the mutex is released.
  std::deque<BlockRequest> dropped;
  const std::lock_guard lock(mutex_);
  ++epoch_;
  cancelled_ = true;
  dropped.swap(waiting_);
}

void BlockWorker::wait_until_unused() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !uses_guest_memory_; });
}

// The thread. It never destroys a request, whose chain belongs to the event loop.
void BlockWorker::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) {
      return;
    }
    Done done{.request = std::move(waiting_.front()), .epoch = epoch_};
    waiting_.pop_front();
    uses_guest_memory_ = done.request.uses_guest_memory();
    cancelled_ = false;
    lock.unlock();
    done.request.run(disk_, serial_, cancelled_);
    lock.lock();
    uses_guest_memory_ = false;
    const bool first = done_.empty();
    done_.push_back(std::move(done));
    changed_.notify_all();
    if (first) {
      loop_.post([weak = weak_self_] {
        if (const auto self = weak.lock()) {
          (*self)->collect();
        }
      });
    }
  }
}

void BlockWorker::collect() {
  std::vector<Done> done;
  std::uint64_t epoch = 0;
  {
    const std::lock_guard lock(mutex_);
    done.swap(done_);
    epoch = epoch_;
  }
  for (Done& each : done) {
    if (each.epoch == epoch) {
      finished_(std::move(each.request));
    }
  }
}

}  // namespace ensemble::device
