#include "device-model/virtio/block_device.h"

#include <cstring>
#include <filesystem>

namespace ensemble::device {
namespace {

constexpr std::uint32_t kBlockDeviceId = 2;
constexpr std::uint16_t kQueueSize = 128;

// Feature bits.
constexpr unsigned kSegmentMaximum = 2;
constexpr unsigned kReadOnly = 5;
constexpr unsigned kBlockSize = 6;
constexpr unsigned kFlush = 9;
constexpr unsigned kMultiQueue = 12;
constexpr unsigned kDiscard = 13;
constexpr unsigned kWriteZeroes = 14;

// struct virtio_blk_config, as far as the features above reach.
struct [[gnu::packed]] Configuration {
  std::uint64_t capacity;
  std::uint32_t size_max;
  std::uint32_t seg_max;
  std::uint8_t geometry[4];
  std::uint32_t blk_size;
  std::uint8_t topology[8];
  std::uint8_t writeback;
  std::uint8_t unused0;
  std::uint16_t num_queues;
  std::uint32_t max_discard_sectors;
  std::uint32_t max_discard_seg;
  std::uint32_t discard_sector_alignment;
  std::uint32_t max_write_zeroes_sectors;
  std::uint32_t max_write_zeroes_seg;
  std::uint8_t write_zeroes_may_unmap;
  std::uint8_t unused1[3];
};
static_assert(sizeof(Configuration) == 60);

std::uint64_t features(const DiskFile& disk, std::uint16_t queues) {
  const std::uint64_t common = feature_mask(kSegmentMaximum) | feature_mask(kBlockSize) |
                               feature_mask(kFlush) | (queues > 1 ? feature_mask(kMultiQueue) : 0);
  return common | (disk.read_only() ? feature_mask(kReadOnly)
                                    : feature_mask(kDiscard) | feature_mask(kWriteZeroes));
}

}  // namespace

Result<std::unique_ptr<BlockDevice>> BlockDevice::create(const std::string& path,
                                                         const Options& options,
                                                         vmm::EventLoop& loop) {
  if (options.queues < 1 || options.queues > kMostQueues) {
    return fail("a disk with {} queues; expected 1 to {}", options.queues, kMostQueues);
  }
  auto disk = DiskFile::open(path, options.read_only);
  if (!disk) {
    return std::unexpected(disk.error());
  }
  const std::string serial =
      options.serial.empty() ? std::filesystem::path(path).filename().string() : options.serial;
  return std::make_unique<BlockDevice>(*std::move(disk), serial, loop, options.queues);
}

BlockDevice::BlockDevice(DiskFile disk, std::string serial, vmm::EventLoop& loop,
                         std::uint16_t queues)
    : VirtioDevice({.kind = "block",
                    .device_id = kBlockDeviceId,
                    .features = features(disk, queues),
                    .queue_sizes = std::vector<std::uint16_t>(queues, kQueueSize)}),
      disk_(std::move(disk)) {
  for (std::uint16_t queue = 0; queue < queues; ++queue) {
    workers_.push_back(std::make_unique<BlockWorker>(
        disk_, serial, loop,
        [this, queue](BlockRequest request) { finish(queue, std::move(request)); }));
  }
}

std::vector<std::byte> BlockDevice::configuration() const {
  Configuration fields = {};
  fields.capacity = disk_.sectors();
  fields.seg_max = kQueueSize - 2;  // A header and a status go with the data.
  fields.blk_size = DiskFile::kSectorBytes;
  fields.num_queues = static_cast<std::uint16_t>(workers_.size());
  if (!disk_.read_only()) {
    fields.max_discard_sectors = kMostDiscardSectors;
    fields.max_discard_seg = kMostDiscardSegments;
    fields.discard_sector_alignment = 1;
    fields.max_write_zeroes_sectors = kMostDiscardSectors;
    fields.max_write_zeroes_seg = kMostDiscardSegments;
    fields.write_zeroes_may_unmap = 1;
  }
  std::vector<std::byte> bytes(sizeof(fields));
  std::memcpy(bytes.data(), &fields, sizeof(fields));
  return bytes;
}

void BlockDevice::queue_notified(std::uint16_t queue) {
  process_queue(queue, [this, queue](vmm::DescriptorChain chain) {
    Result<BlockRequest> request = BlockRequest::parse(std::move(chain), disk_);
    if (!request) {
      transport().mark_broken(request.error());
      return false;
    }
    workers_[queue]->submit(*std::move(request));
    return true;
  });
}

void BlockDevice::finish(std::uint16_t queue, BlockRequest request) {
  const std::uint32_t written = request.finish();
  complete(queue, request.take_chain(), written);
}

void BlockDevice::reset() {
  for (const auto& worker : workers_) {
    worker->drop_all();
  }
  // After that, so that the transfers of all queues end side by side.
  for (const auto& worker : workers_) {
    worker->wait_until_unused();
  }
}

void BlockDevice::save(vmm::StateWriter& writer) const {
  writer.u64(disk_.sectors());
}

Result<void> BlockDevice::restore(vmm::StateReader& reader) {
  const std::uint64_t sectors = reader.u64();
  if (Result<void> status = reader.status(); !status) {
    return status;
  }
  if (sectors != disk_.sectors()) {
    return fail("the disk had {} sectors when it was saved, and has {} now", sectors,
                disk_.sectors());
  }
  return {};
}

}  // namespace ensemble::device
