#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "device-model/virtio/block_request.h"
#include "device-model/virtio/disk_file.h"
#include "vmm/event_loop.h"

namespace ensemble::device {

// Runs block requests one after the other on a thread of its own, and hands them back on the event
// loop. Its methods are for holders of the device lock.
class BlockWorker {
 public:
  // Runs on the event loop, with the device lock held, for each request that was not dropped.
  using Finished = std::function<void(BlockRequest request)>;

  // `disk` and `loop` outlive the worker. The thread starts with the first request.
  BlockWorker(const DiskFile& disk, std::string serial, vmm::EventLoop& loop, Finished finished);
  // Drops what waits and waits for what runs.
  ~BlockWorker();

  void submit(BlockRequest request);

  // Drops all requests: a transfer under way ends at its next step, a flush or discard goes on
  // unseen. Does not wait.
  void drop_all();

  // Returns when no guest memory is in use any more. Behind drop_all(), with nothing submitted
  // since.
  void wait_until_unused();

 private:
  // A request and the value of epoch_ when it was taken up.
  struct Done {
    BlockRequest request;
    std::uint64_t epoch;
  };

  void work();
  void collect();

  const DiskFile& disk_;
  const std::string serial_;
  vmm::EventLoop& loop_;
  const Finished finished_;
  // Held weakly by what was posted to the event loop, to find out that this is gone.
  const std::shared_ptr<BlockWorker*> self_ = std::make_shared<BlockWorker*>(this);
  const std::weak_ptr<BlockWorker*> weak_self_ = self_;
  std::atomic<bool> cancelled_ = false;  // Of the request that runs.

  std::mutex mutex_;  // Guards what follows; taken inside the device lock, never around it.
  std::condition_variable changed_;
  std::deque<BlockRequest> waiting_;
  std::vector<Done> done_;          // To be collected on the event loop.
  bool uses_guest_memory_ = false;  // By the request that runs.
  bool stopping_ = false;
  std::uint64_t epoch_ = 0;  // Counts drop_all(): what ran across one is dropped.

  std::thread thread_;
};

}  // namespace ensemble::device
