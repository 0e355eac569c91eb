#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "vmm/guest_memory.h"
#include "vmm/virtqueue.h"

namespace ensemble::vmm {

// The driver's side of a split virtqueue, for tests of devices: writes the rings into real guest
// memory, and can write anything into them, right or wrong. Failures to do so throw.
class DriverQueue {
 public:
  static constexpr uint16_t kNext = 1;
  static constexpr uint16_t kWrite = 2;
  static constexpr uint16_t kIndirect = 4;

  struct Descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
  };

  // A buffer of a request.
  struct Buffer {
    uint64_t address;
    uint32_t length;
    bool writable;
  };

  struct Used {
    uint32_t head;
    uint32_t length;
  };

  // The rings lie within 1 MiB from `base`.
  DriverQueue(GuestMemory& memory, uint64_t base, uint16_t size)
      : memory_(&memory), size_(size), addresses_{base, base + 0x80000, base + 0xA0000} {}

  uint16_t size() const { return size_; }
  const VirtqueueAddresses& addresses() const { return addresses_; }

  void set_descriptor(uint16_t index, const Descriptor& descriptor) {
    memory_->store(addresses_.descriptors + 16 * uint64_t{index}, descriptor).value();
  }

  // Writes `buffers` as a chain of descriptors from the next free ones on (round and round).
  uint16_t write_chain(std::span<const Buffer> buffers) {
    const uint16_t head = next_free_;
    for (size_t i = 0; i < buffers.size(); ++i) {
      const auto index = static_cast<uint16_t>((head + i) % size_);
      const auto next = static_cast<uint16_t>((index + 1) % size_);
      const bool last = i + 1 == buffers.size();
      set_descriptor(index, {buffers[i].address, buffers[i].length, flags(buffers[i], last), next});
      next_free_ = next;
    }
    return head;
  }

  // The same as an indirect table at `table`, behind one descriptor.
  uint16_t write_indirect(uint64_t table, std::span<const Buffer> buffers) {
    for (size_t i = 0; i < buffers.size(); ++i) {
      const bool last = i + 1 == buffers.size();
      const Descriptor descriptor{buffers[i].address, buffers[i].length, flags(buffers[i], last),
                                  static_cast<uint16_t>(i + 1)};
      memory_->store(table + 16 * i, descriptor).value();
    }
    const uint16_t head = next_free_;
    set_descriptor(head, {table, static_cast<uint32_t>(16 * buffers.size()), kIndirect, 0});
    next_free_ = static_cast<uint16_t>((head + 1) % size_);
    return head;
  }

  // Makes the chain that starts at `head` available.
  void offer(uint16_t head) {
    memory_->store(addresses_.available + 4 + 2 * uint64_t(available_ % size_), head).value();
    set_available_index(static_cast<uint16_t>(available_ + 1));
  }

  void offer_chain(std::initializer_list<Buffer> buffers) {
    offer(write_chain(std::vector<Buffer>(buffers)));
  }

  void set_available_index(uint16_t index) {
    available_ = index;
    memory_->store_atomic<uint16_t>(addresses_.available + 2, index).value();
  }
  uint16_t available_index() const { return available_; }

  void set_available_flags(uint16_t flags) {
    memory_->store_atomic<uint16_t>(addresses_.available, flags).value();
  }
  void set_used_event(uint16_t index) {
    memory_->store_atomic<uint16_t>(addresses_.available + 4 + 2 * uint64_t{size_}, index).value();
  }
  uint16_t used_flags() const { return memory_->load_atomic<uint16_t>(addresses_.used).value(); }
  uint16_t available_event() const {
    return memory_->load_atomic<uint16_t>(addresses_.used + 4 + 8 * uint64_t{size_}).value();
  }
  uint16_t used_index() const {
    return memory_->load_atomic<uint16_t>(addresses_.used + 2).value();
  }

  // The next returned chain, if there is one.
  std::optional<Used> take_used() {
    if (used_index() == used_) {
      return std::nullopt;
    }
    return memory_->load<Used>(addresses_.used + 4 + 8 * uint64_t(used_++ % size_)).value();
  }

 private:
  static uint16_t flags(const Buffer& buffer, bool last) {
    return static_cast<uint16_t>((buffer.writable ? kWrite : 0) | (last ? 0 : kNext));
  }

  GuestMemory* memory_;
  uint16_t size_;
  VirtqueueAddresses addresses_;
  uint16_t next_free_ = 0;
  uint16_t available_ = 0;
  uint16_t used_ = 0;
};

}  // namespace ensemble::vmm
