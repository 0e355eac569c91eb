#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "vmm/error.h"
#include "vmm/guest_memory.h"
#include "vmm/state.h"

namespace ensemble::vmm {

class Virtqueue;

// The buffers of one request that the driver made available: first those to read, then those to
// write. The descriptors behind them were copied, checked and translated once; the contents lie in
// guest memory and may change at any moment, so copy what you check.
//
// Give it back with Virtqueue::push or put_back. A chain that is destroyed otherwise is returned to
// the driver with nothing written, so that no path loses a descriptor; one whose queue was reset
// meanwhile just goes away. The queue outlives it. Not thread-safe, but another thread may use the
// buffers while nobody else touches the chain.
class DescriptorChain {
 public:
  DescriptorChain(DescriptorChain&& other) noexcept;
  DescriptorChain& operator=(DescriptorChain&& other) noexcept;
  ~DescriptorChain();

  std::span<const std::span<const std::byte>> readable() const { return readable_; }
  std::span<const std::span<std::byte>> writable() const { return writable_; }

  // Bytes in all buffers to read, or to write.
  uint32_t readable_size() const { return readable_size_; }
  uint32_t writable_size() const { return writable_size_; }

  // Copies bytes [offset, offset + data.size()) of the readable buffers, however they are cut.
  // Returns how many there were: fewer than asked for at the end.
  size_t read(size_t offset, std::span<std::byte> data) const;

  // Copies `data` to `offset` of the writable buffers. Returns how many bytes fitted.
  size_t write(size_t offset, std::span<const std::byte> data) const;

 private:
  friend class Virtqueue;
  DescriptorChain(Virtqueue* queue, uint64_t generation, uint16_t head)
      : queue_(queue), generation_(generation), head_(head) {}
  void give_back();

  Virtqueue* queue_;  // Null once given back.
  uint64_t generation_;
  uint16_t head_;
  uint32_t readable_size_ = 0;
  uint32_t writable_size_ = 0;
  std::vector<std::span<const std::byte>> readable_;
  std::vector<std::span<std::byte>> writable_;
};

// Guest-physical addresses of a split virtqueue's three parts.
struct VirtqueueAddresses {
  uint64_t descriptors = 0;
  uint64_t available = 0;
  uint64_t used = 0;
};

// The device's side of a split virtqueue (virtio 1.2, section 2.7), with indirect descriptors and
// event indexes. The driver is taken to be hostile: whatever it writes into the ring, the worst
// result is an Error, after which the device asks for a reset. The work per chain is bounded by the
// queue's size.
//
// Device code calls it with the device lock held. The guest uses the ring meanwhile.
class Virtqueue {
 public:
  static constexpr uint16_t kLargestSize = 32768;

  // Features that change the ring's form.
  struct Options {
    bool event_index = false;
    bool indirect = false;
  };

  // A queue of at most `maximum_size` descriptors (a power of two), not yet enabled. `memory`
  // outlives it.
  Virtqueue(const GuestMemory& memory, uint16_t maximum_size)
      : memory_(memory), maximum_size_(maximum_size) {}
  Virtqueue(const Virtqueue&) = delete;
  Virtqueue& operator=(const Virtqueue&) = delete;

  uint16_t maximum_size() const { return maximum_size_; }
  bool enabled() const { return enabled_; }

  // Starts the queue from an empty ring. The size must be a power of two up to the maximum, each
  // part aligned and within one piece of RAM; else an Error, and the queue stays disabled.
  Result<void> enable(uint16_t size, const VirtqueueAddresses& addresses, Options options);

  // Disables the queue and forgets all chains in flight: returning them does nothing then.
  void reset();

  // The next available chain, or nothing. An Error when the driver broke the rules.
  Result<std::optional<DescriptorChain>> pop();

  // Returns a chain to the driver, `written` bytes of whose writable buffers (from the start of
  // them) were filled. Does nothing when the queue was reset since.
  void push(DescriptorChain chain, uint32_t written);

  // A chain to return and how much of it was filled.
  struct Filled {
    DescriptorChain chain;
    uint32_t written;
  };

  // The same for several chains, all of which the driver sees at once.
  void push_together(std::vector<Filled> filled);

  // Undoes the latest pop, whose chain this is: the next pop gets it again.
  void put_back(DescriptorChain chain);

  // Whether chains pushed since the last call need an interrupt.
  bool take_interrupt_need();

  // Tells the driver that it need not notify while the device is at work anyway.
  void suppress_notifications();

  // Asks for a notification of the next chain. True when one is available already, for which none
  // may come: look again.
  bool request_notifications();

  // Chains taken and not yet returned.
  uint16_t in_flight() const { return in_flight_; }

  // Chains that the driver has made available and the device has not taken; what a driver that
  // breaks the rules claims, at most the queue's size.
  uint16_t waiting() const;

  // Chains returned since this was made, resets or not.
  uint64_t completed() const { return completed_; }

  // Part of a device's saved state. Chains in flight are saved as available, so that they are done
  // again after a restore; right only for devices that return chains in order. `restore` checks all
  // it reads.
  void save(StateWriter& writer) const;
  Result<void> restore(StateReader& reader);

 private:
  friend class DescriptorChain;
  struct Descriptor;

  uint16_t available_index() const;
  Result<void> add_chain(uint16_t head, DescriptorChain& chain);
  Result<std::vector<Descriptor>> read_indirect(const Descriptor& descriptor) const;
  Result<void> add_buffer(const Descriptor& descriptor, DescriptorChain& chain) const;
  Descriptor read_descriptor(uint16_t index) const;
  bool take_back(const DescriptorChain& chain);
  void fill_used(DescriptorChain chain, uint32_t written);
  void publish_used();

  const GuestMemory& memory_;
  const uint16_t maximum_size_;
  bool enabled_ = false;
  uint16_t size_ = 0;
  VirtqueueAddresses addresses_;
  Options options_;
  std::span<const std::byte> descriptors_;
  std::span<std::byte> available_;
  std::span<std::byte> used_;
  uint16_t next_available_ = 0;    // Of the available ring, the entry to take next.
  uint16_t next_used_ = 0;         // Of the used ring, the entry to fill next.
  uint16_t interrupted_used_ = 0;  // next_used_ when an interrupt was last considered.
  uint16_t in_flight_ = 0;
  std::vector<bool> head_in_flight_;
  uint64_t completed_ = 0;
  uint64_t generation_ = 0;  // Counts resets, to tell chains of an earlier life.
};

}  // namespace ensemble::vmm
