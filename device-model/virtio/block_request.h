#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "device-model/virtio/disk_file.h"
#include "vmm/error.h"
#include "vmm/virtqueue.h"

namespace ensemble::device {

// How a block request ended, as its status byte says it (virtio 1.2, section 5.2.6).
enum class BlockStatus : std::uint8_t { kOk = 0, kIoError = 1, kUnsupported = 2 };

// The limits of a block device's requests, published in its configuration space.
inline constexpr std::uint32_t kMostDiscardSectors = 1U << 22;
inline constexpr std::uint32_t kMostDiscardSegments = 16;

// One request of a block device: taken apart and checked once by parse(), run on a worker, and
// returned to the driver on the event loop.
class BlockRequest {
 public:
  // Reads the request in `chain`. An Error means that the chain has no place for a status, so that
  // nothing can be told but by breaking the device; all other mistakes give a request that runs to
  // an error status.
  static Result<BlockRequest> parse(vmm::DescriptorChain chain, const DiskFile& disk);

  // Does the work. Blocks. `serial` is the disk's identity for get_id. Touches guest memory only
  // if uses_guest_memory(), and ends soon after `cancelled` is set.
  void run(const DiskFile& disk, const std::string& serial, const std::atomic<bool>& cancelled);

  bool uses_guest_memory() const {
    return operation_ == Operation::kRead || operation_ == Operation::kWrite;
  }

  // Writes the result into the chain. Returns how many bytes of it were written.
  std::uint32_t finish();

  // Gives the chain up, for the queue to take back.
  vmm::DescriptorChain take_chain() { return std::move(chain_); }

 private:
  enum class Operation { kNothing, kRead, kWrite, kFlush, kGetId, kDiscard, kWriteZeroes };

  // A range of a discard or write-zeroes request.
  struct Segment {
    std::uint64_t offset = 0;  // Bytes.
    std::uint64_t size = 0;    // Bytes.
    bool may_discard = false;
  };

  explicit BlockRequest(vmm::DescriptorChain chain) : chain_(std::move(chain)) {}

  void parse_transfer(const DiskFile& disk, std::uint64_t sector, Operation operation);
  void parse_segments(const DiskFile& disk, Operation operation);
  BlockStatus run_operation(const DiskFile& disk, const std::atomic<bool>& cancelled);

  vmm::DescriptorChain chain_;
  Operation operation_ = Operation::kNothing;
  BlockStatus status_ = BlockStatus::kOk;
  std::uint64_t offset_ = 0;
  std::uint32_t data_size_ = 0;  // Writable bytes before the status byte.
  std::vector<iovec> buffers_;
  std::vector<Segment> segments_;
  std::string identity_;
};

}  // namespace ensemble::device
