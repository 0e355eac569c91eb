#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace driver {

// The driver's side of a split virtqueue (virtio 1.2, section 2.7), in memory that the device
// shares. Everything that the device writes is checked against the driver's own books.
class VirtioQueue {
 public:
  static constexpr std::uint16_t kMaximumSize = 64;

  struct Buffer {
    std::uint64_t physical;
    std::uint32_t length;
    bool device_writes;
  };
  struct Used {
    std::uint16_t cookie;
    std::uint32_t length;  // bytes the device wrote, at most what its buffers hold
  };

  // Bytes of memory that a queue of `size` needs.
  static constexpr std::size_t memory_size(std::uint16_t size) {
    return used_offset(size) + 6 + std::size_t{8} * size;
  }

  // `memory`: zeroed, 16-byte aligned, memory_size(size) bytes at physical address `physical`.
  // `size`: a power of two.
  VirtioQueue(std::span<std::byte> memory, std::uint64_t physical, std::uint16_t size);

  std::uint16_t size() const { return size_; }
  std::uint64_t descriptors() const { return physical_; }
  std::uint64_t driver_area() const { return physical_ + available_offset(size_); }
  std::uint64_t device_area() const { return physical_ + used_offset(size_); }
  void use_event_index(bool use) { event_index_ = use; }

  // Queues a chain. False if there are not enough descriptors. The device may see it at once.
  bool add(std::span<const Buffer> buffers, std::uint16_t cookie);
  // Whether the device asked to be notified of what was added since the last call.
  bool needs_notification();
  // The next chain that the device has finished, or nullopt.
  std::optional<Used> take();
  // The device used a chain that it was not given: nothing that it says is to be believed.
  bool broken() const { return broken_; }

  // Chains that the device still has.
  std::uint16_t outstanding() const {
    return static_cast<std::uint16_t>(next_available_ - next_used_);
  }
  // Asks for an interrupt when `count` (≥ 1) more chains are used. False if they are already: then
  // take them first.
  bool enable_interrupt(std::uint16_t count = 1);
  void disable_interrupt();

 private:
  struct Descriptor {
    std::uint64_t address;
    std::uint32_t length;
    std::uint16_t flags;
    std::uint16_t next;
  };
  // What the driver knows of a chain by its first descriptor.
  struct Chain {
    std::uint16_t cookie;
    std::uint16_t descriptors;  // 0: not in use
    std::uint32_t writable;
  };

  static constexpr std::size_t available_offset(std::uint16_t size) {
    return std::size_t{16} * size;
  }
  static constexpr std::size_t used_offset(std::uint16_t size) {
    return (available_offset(size) + 6 + std::size_t{2} * size + 3) & ~std::size_t{3};
  }
  volatile std::uint16_t& available(std::size_t index) const {
    return reinterpret_cast<volatile std::uint16_t*>(memory_ + available_offset(size_))[index];
  }
  volatile std::uint16_t& used_index() const {
    return reinterpret_cast<volatile std::uint16_t*>(memory_ + used_offset(size_))[1];
  }
  volatile std::uint16_t& available_event() const {
    return *reinterpret_cast<volatile std::uint16_t*>(memory_ + used_offset(size_) + 4 +
                                                      std::size_t{8} * size_);
  }
  volatile std::uint32_t* used_element(std::uint16_t index) const {
    return reinterpret_cast<volatile std::uint32_t*>(memory_ + used_offset(size_) + 4) +
           std::size_t{2} * (index & (size_ - 1));
  }

  std::byte* memory_;
  std::uint64_t physical_;
  std::uint16_t size_;
  std::uint16_t next_available_ = 0;
  std::uint16_t next_used_ = 0;
  std::uint16_t notified_ = 0;
  std::uint16_t free_count_;
  std::uint16_t first_free_ = 0;
  bool event_index_ = false;
  bool broken_ = false;
  std::array<std::uint16_t, kMaximumSize> next_{};
  std::array<Chain, kMaximumSize> chains_{};
};

}  // namespace driver
