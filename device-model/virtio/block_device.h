#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "device-model/virtio/block_worker.h"
#include "device-model/virtio/disk_file.h"
#include "device-model/virtio/virtio_device.h"
#include "vmm/event_loop.h"

namespace ensemble::device {

// A virtio block device (virtio 1.2, section 5.2) over a raw disk: read, write, flush, discard,
// write zeroes, get_id. Requests are checked on the event loop, run on a worker thread for each
// queue, in the queue's order, and returned on the event loop.
class BlockDevice final : public VirtioDevice {
 public:
  static constexpr std::uint16_t kMostQueues = 8;

  struct Options {
    bool read_only = false;
    std::uint16_t queues = 1;  // 1 to kMostQueues.
    std::string serial;        // For get_id: up to 20 bytes. Empty: the name of the file.
  };

  // Opens the disk at `path`; see DiskFile::open for what it must be. `loop` outlives the device.
  static Result<std::unique_ptr<BlockDevice>> create(const std::string& path,
                                                     const Options& options, vmm::EventLoop& loop);

  BlockDevice(DiskFile disk, std::string serial, vmm::EventLoop& loop, std::uint16_t queues = 1);

  std::vector<std::byte> configuration() const override;
  void queue_notified(std::uint16_t queue) override;
  // Waits for a transfer that is under way, at most one step of it; the others are dropped.
  void reset() override;
  // Requests in flight are saved as available and done again after a restore, which changes
  // nothing: the driver leaves their buffers alone until they are returned.
  void save(vmm::StateWriter& writer) const override;
  Result<void> restore(vmm::StateReader& reader) override;

 private:
  void finish(std::uint16_t queue, BlockRequest request);

  const DiskFile disk_;
  std::vector<std::unique_ptr<BlockWorker>> workers_;  // One for each queue; use disk_.
};

}  // namespace ensemble::device
