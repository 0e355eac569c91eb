#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "device-model/virtio/virtio_device.h"
#include "vmm/guest_memory.h"

namespace ensemble::device {

// A memory balloon (virtio 1.2, section 5.5): the guest puts pages that it can do without into it,
// as many as the target says, and reports pages that it does not use for now. The host gets the
// memory behind both back. A page that the guest uses again reads as zero; no need to ask first.
//
// With VIRTIO_BALLOON_F_DEFLATE_ON_OOM the target is a wish: a guest that runs out of memory takes
// pages back out of the balloon.
class BalloonDevice final : public VirtioDevice {
 public:
  static constexpr std::uint64_t kPageBytes = 4096;
  static constexpr std::uint16_t kInflateQueue = 0;
  static constexpr std::uint16_t kDeflateQueue = 1;
  // Of one request; Linux sends 256.
  static constexpr std::uint32_t kMostPagesPerRequest = 1024;

  // What a driver may tell of the guest's memory, by the specification's tags. Sizes are in bytes.
  enum class Statistic : std::uint16_t {
    kSwappedIn,
    kSwappedOut,
    kMajorFaults,
    kMinorFaults,
    kFreeMemory,
    kTotalMemory,
    kAvailableMemory,
    kDiskCaches,
    kHugePageAllocations,
    kHugePageFailures,
  };
  static constexpr std::size_t kStatisticCount = 10;
  using Statistics = std::array<std::optional<std::uint64_t>, kStatisticCount>;

  // `memory` is the machine's, and outlives the device.
  explicit BalloonDevice(const vmm::GuestMemory& memory);

  // How large the balloon is to be, in pages of kPageBytes; tells the driver. What it is larger
  // than the guest's memory is cut off. With the device lock held, as is the rest.
  void set_target(std::uint64_t pages);
  std::uint32_t target() const { return configuration_.target; }

  // How large the balloon is in pages, as the driver says: any number.
  std::uint32_t size() const { return configuration_.size; }

  // What the driver told last.
  const Statistics& statistics() const { return statistics_; }

  // Asks the driver for new statistics, unless it is at them already. They come when they come.
  void request_statistics();

  std::vector<std::byte> configuration() const override;
  void write_configuration(std::uint64_t offset, std::span<const std::byte> data) override;
  void queue_notified(std::uint16_t queue) override;
  void reset() override;
  void save(vmm::StateWriter& writer) const override;
  Result<void> restore(vmm::StateReader& reader) override;

 private:
  // struct virtio_balloon_config.
  struct Configuration {
    std::uint32_t target = 0;
    std::uint32_t size = 0;    // The driver's to write.
    std::uint32_t unused = 0;  // Of free page hinting.
    std::uint32_t poison = 0;  // The driver's to write.
  };
  static_assert(sizeof(Configuration) == 16);

  std::uint16_t statistics_queue() const;
  void inflate(const vmm::DescriptorChain& chain);
  void discard_pages(std::uint32_t first, std::uint64_t count);
  void report(const vmm::DescriptorChain& chain);
  void discard(std::span<std::byte> bytes);
  void read_statistics(const vmm::DescriptorChain& chain);

  const vmm::GuestMemory& memory_;
  Configuration configuration_;
  Statistics statistics_;
  std::optional<vmm::DescriptorChain> statistics_buffer_;  // Returned to ask for new ones.
  bool warned_ = false;                                    // Of a host that keeps the memory.
};

}  // namespace ensemble::device
