#include "device-model/virtio/balloon_device.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

namespace ensemble::device {
namespace {

constexpr std::uint32_t kBalloonDeviceId = 5;
// Linux reports free pages by 32 at a time and insists on queues that hold them.
constexpr std::uint16_t kQueueSize = 128;

// Feature bits.
constexpr unsigned kStatisticsQueue = 1;
constexpr unsigned kDeflateOnOutOfMemory = 2;
constexpr unsigned kPagePoison = 4;
constexpr unsigned kPageReporting = 5;

// struct virtio_balloon_stat.
struct [[gnu::packed]] RawStatistic {
  std::uint16_t tag;
  std::uint64_t value;
};
static_assert(sizeof(RawStatistic) == 10);

// What is given back to the host with the device lock held; a request more when it is not reached.
constexpr std::uint64_t kMostBytesPerTurn = 4 << 20;

// Enough for every statistic, and for some that are not known here.
constexpr std::size_t kMostRawStatistics = 64;

}  // namespace

// Five queues, as the specification numbers them. Linux leaves no gap for those that it has no
// feature for (there is no free page hinting), so its reporting queue is the one before. Both do.
BalloonDevice::BalloonDevice(const vmm::GuestMemory& memory)
    : VirtioDevice({.kind = "balloon",
                    .device_id = kBalloonDeviceId,
                    .features = feature_mask(kStatisticsQueue) |
                                feature_mask(kDeflateOnOutOfMemory) | feature_mask(kPagePoison) |
                                feature_mask(kPageReporting),
                    .queue_sizes = std::vector<std::uint16_t>(5, kQueueSize)}),
      memory_(memory) {}

void BalloonDevice::set_target(std::uint64_t pages) {
  configuration_.target = static_cast<std::uint32_t>(std::min(pages, memory_.size() / kPageBytes));
  transport().notify_configuration();
}

std::vector<std::byte> BalloonDevice::configuration() const {
  std::vector<std::byte> bytes(sizeof(configuration_));
  std::memcpy(bytes.data(), &configuration_, sizeof(configuration_));
  return bytes;
}

void BalloonDevice::write_configuration(std::uint64_t offset, std::span<const std::byte> data) {
  if (data.size() != sizeof(std::uint32_t)) {
    return;
  }
  if (offset == offsetof(Configuration, size)) {
    std::memcpy(&configuration_.size, data.data(), data.size());
  } else if (offset == offsetof(Configuration, poison)) {
    std::memcpy(&configuration_.poison, data.data(), data.size());
  }
}

void BalloonDevice::queue_notified(std::uint16_t queue) {
  std::uint64_t bytes = 0;
  process_queue(queue, [this, queue, &bytes](vmm::DescriptorChain chain) {
    if (queue == kInflateQueue) {
      bytes += kPageBytes * (chain.readable_size() / sizeof(std::uint32_t));
      inflate(chain);
    } else if (queue == statistics_queue()) {
      read_statistics(chain);
      statistics_buffer_ = std::move(chain);
      return true;
    } else if (queue != kDeflateQueue) {
      bytes += chain.writable_size();
      report(chain);
    }
    this->queue(queue).push(std::move(chain), 0);
    if (bytes < kMostBytesPerTurn) {
      return true;
    }
    // Others want the device lock; the queue goes on behind them.
    transport().schedule(queue);
    return false;
  });
}

// No queue's number where the driver does without statistics.
std::uint16_t BalloonDevice::statistics_queue() const {
  constexpr std::uint16_t kNumber = 2;
  return transport().has_feature(kStatisticsQueue) ? kNumber : queue_count();
}

void BalloonDevice::inflate(const vmm::DescriptorChain& chain) {
  const std::uint32_t size = chain.readable_size();
  if (size % sizeof(std::uint32_t) != 0 || size / sizeof(std::uint32_t) > kMostPagesPerRequest) {
    transport().mark_broken(
        Error(fmt::format("{} bytes of page numbers; expected a multiple of {}, at most {}", size,
                          sizeof(std::uint32_t), kMostPagesPerRequest * sizeof(std::uint32_t))));
    return;
  }
  std::vector<std::uint32_t> pages(size / sizeof(std::uint32_t));
  chain.read(0, std::as_writable_bytes(std::span(pages)));
  std::ranges::sort(pages);
  // In runs, to ask the host less often, and so that it need not cut large pages.
  for (auto run = pages.begin(); run != pages.end();) {
    auto next = run;
    std::uint64_t end = *run;
    while (next != pages.end() && *next <= end) {
      end = std::uint64_t{*next} + 1;
      ++next;
    }
    discard_pages(*run, end - *run);
    run = next;
  }
}

void BalloonDevice::discard_pages(std::uint32_t first, std::uint64_t count) {
  const auto bytes = memory_.writable_span(first * kPageBytes, count * kPageBytes);
  if (bytes) {
    discard(*bytes);
  } else {
    transport().mark_broken(bytes.error().with_context("a page put into the balloon"));
  }
}

// The buffers are the pages. A guest that wants to find free pages filled keeps them.
void BalloonDevice::report(const vmm::DescriptorChain& chain) {
  if (transport().has_feature(kPagePoison) && configuration_.poison != 0) {
    return;
  }
  for (const std::span<std::byte> bytes : chain.writable()) {
    discard(bytes);
  }
}

void BalloonDevice::discard(std::span<std::byte> bytes) {
  const Result<void> discarded = memory_.discard(bytes);
  if (!discarded && !std::exchange(warned_, true)) {
    spdlog::warn("memory that the guest does not need stays with it: {}",
                 discarded.error().message());
  }
}

void BalloonDevice::read_statistics(const vmm::DescriptorChain& chain) {
  std::array<RawStatistic, kMostRawStatistics> raw;
  const std::size_t size = chain.read(0, std::as_writable_bytes(std::span(raw)));
  statistics_ = {};
  for (const RawStatistic& each : std::span(raw).first(size / sizeof(RawStatistic))) {
    if (each.tag < statistics_.size()) {
      statistics_[each.tag] = std::uint64_t{each.value};
    }
  }
}

void BalloonDevice::request_statistics() {
  if (statistics_buffer_ && transport().running()) {
    complete(statistics_queue(), *std::exchange(statistics_buffer_, std::nullopt), 0);
  }
}

// The target stays: the next driver is to keep to it too.
void BalloonDevice::reset() {
  configuration_.size = 0;
  configuration_.poison = 0;
  statistics_ = {};
  statistics_buffer_.reset();
}

void BalloonDevice::save(vmm::StateWriter& writer) const {
  writer.u32(configuration_.target);
  writer.u32(configuration_.size);
  writer.u32(configuration_.poison);
}

Result<void> BalloonDevice::restore(vmm::StateReader& reader) {
  Configuration restored;
  restored.target = reader.u32();
  restored.size = reader.u32();
  restored.poison = reader.u32();
  if (Result<void> status = reader.status(); !status) {
    return status;
  }
  if (restored.target > memory_.size() / kPageBytes) {
    return fail("a saved balloon of {} pages; the memory has {}", restored.target,
                memory_.size() / kPageBytes);
  }
  configuration_ = restored;
  return {};
}

}  // namespace ensemble::device
