#include "guest-kernel/drivers/virtio_queue.h"

#include <algorithm>
#include <atomic>

namespace driver {
namespace {

constexpr std::uint16_t kNext = 1;
constexpr std::uint16_t kDeviceWrites = 2;
constexpr std::uint16_t kNoInterrupt = 1;
constexpr std::uint16_t kNoNotify = 1;

void full_fence() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

constexpr std::uint16_t low16(unsigned value) {
  return static_cast<std::uint16_t>(value);
}

}  // namespace

VirtioQueue::VirtioQueue(std::span<std::byte> memory, std::uint64_t physical, std::uint16_t size)
    : memory_(memory.data()), physical_(physical), size_(size), free_count_(size) {
  for (std::uint16_t i = 0; i < size; ++i) {
    next_[i] = low16(i + 1u);
  }
}

bool VirtioQueue::add(std::span<const Buffer> buffers, std::uint16_t cookie) {
  if (buffers.empty() || buffers.size() > free_count_) {
    return false;
  }
  auto* descriptors = reinterpret_cast<volatile Descriptor*>(memory_);
  const std::uint16_t head = first_free_;
  std::uint32_t writable = 0;
  std::uint16_t index = head;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const bool last = i + 1 == buffers.size();
    volatile Descriptor& descriptor = descriptors[index];
    descriptor.address = buffers[i].physical;
    descriptor.length = buffers[i].length;
    descriptor.flags = low16((last ? 0u : kNext) | (buffers[i].device_writes ? kDeviceWrites : 0u));
    descriptor.next = last ? low16(0) : next_[index];
    writable += buffers[i].device_writes ? buffers[i].length : 0;
    first_free_ = next_[index];
    index = first_free_;
  }
  free_count_ = low16(free_count_ - static_cast<unsigned>(buffers.size()));
  chains_[head] = {cookie, static_cast<std::uint16_t>(buffers.size()), writable};
  available(2u + (next_available_ & (size_ - 1u))) = head;
  std::atomic_thread_fence(std::memory_order_release);
  next_available_ = low16(next_available_ + 1u);
  available(1) = next_available_;
  return true;
}

bool VirtioQueue::needs_notification() {
  full_fence();
  const std::uint16_t before = notified_;
  if (before == next_available_) {
    return false;
  }
  notified_ = next_available_;
  if (!event_index_) {
    const auto& flags = *reinterpret_cast<volatile std::uint16_t*>(memory_ + used_offset(size_));
    return (flags & kNoNotify) == 0;
  }
  // Virtio 1.2, 2.7.10: whether the event index lies in what was added.
  return low16(next_available_ - available_event() - 1u) < low16(next_available_ - before);
}

std::optional<VirtioQueue::Used> VirtioQueue::take() {
  const std::uint16_t index = used_index();
  if (broken_ || index == next_used_) {
    return std::nullopt;
  }
  std::atomic_thread_fence(std::memory_order_acquire);
  const volatile std::uint32_t* element = used_element(next_used_);
  const std::uint32_t head = element[0];
  const std::uint32_t length = element[1];
  if (low16(index - next_used_) > outstanding() || head >= size_ ||
      chains_[head].descriptors == 0) {
    broken_ = true;
    return std::nullopt;
  }
  Chain& chain = chains_[head];
  std::uint16_t last = low16(head);
  for (std::uint16_t i = 1; i < chain.descriptors; ++i) {
    last = next_[last];
  }
  next_[last] = first_free_;
  first_free_ = low16(head);
  free_count_ = low16(free_count_ + chain.descriptors);
  chain.descriptors = 0;
  next_used_ = low16(next_used_ + 1u);
  return Used{chain.cookie, std::min(length, chain.writable)};
}

bool VirtioQueue::enable_interrupt(std::uint16_t count) {
  if (event_index_) {
    available(2u + size_) = low16(next_used_ + count - 1u);
  } else {
    available(0) = 0;
  }
  full_fence();
  return low16(used_index() - next_used_) < count;
}

void VirtioQueue::disable_interrupt() {
  if (event_index_) {
    // An index that the device has passed: it comes round after 65,535 more chains only.
    available(2u + size_) = low16(next_used_ - 1u);
  } else {
    available(0) = kNoInterrupt;
  }
}

}  // namespace driver
