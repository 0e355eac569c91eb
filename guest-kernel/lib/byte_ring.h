#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

// A byte queue in memory that two domains share: one writes, one reads, neither trusts the other.
namespace guest {

// The shared words. Counters run freely; the ring's size is a power of two and not in here, so that
// the peer cannot change it. Zeroed memory is an empty ring.
struct alignas(64) ByteRingHeader {
  std::atomic<std::uint32_t> written;        // by the producer
  std::atomic<std::uint32_t> producer_wait;  // 1: the producer wants a signal when there is room
  std::uint32_t reserved0[14];
  std::atomic<std::uint32_t> read;           // by the consumer
  std::atomic<std::uint32_t> consumer_wait;  // 1: the consumer wants a signal when there are bytes
  std::uint32_t reserved1[14];
};
static_assert(sizeof(ByteRingHeader) == 128);

// The end that writes. Keeps its own count: what the peer does to the header harms the data only.
class ByteRingProducer {
 public:
  ByteRingProducer(ByteRingHeader& header, std::span<std::byte> data)
      : header_(&header), data_(data), written_(header.written.load(std::memory_order_relaxed)) {}

  // Free bytes, 0 if the peer's counter makes no sense.
  std::size_t room() const {
    const std::uint32_t used = written_ - header_->read.load(std::memory_order_acquire);
    return used > data_.size() ? 0 : data_.size() - used;
  }

  // Writes as much as fits; returns how much.
  std::size_t write(std::span<const std::byte> bytes) {
    const std::size_t count = std::min(bytes.size(), room());
    const std::size_t at = written_ & (data_.size() - 1);
    const std::size_t first = std::min(count, data_.size() - at);
    if (first != 0) {
      std::memcpy(data_.data() + at, bytes.data(), first);
    }
    if (count > first) {
      std::memcpy(data_.data(), bytes.data() + first, count - first);
    }
    written_ += static_cast<std::uint32_t>(count);
    header_->written.store(written_, std::memory_order_seq_cst);
    return count;
  }

  // True once per wait of the consumer: the caller now owes it a signal.
  bool consumer_waits() {
    return header_->consumer_wait.load(std::memory_order_seq_cst) != 0 &&
           header_->consumer_wait.exchange(0, std::memory_order_seq_cst) != 0;
  }

  // Asks for a signal when there is room. Returns false if there is room already (then no need to
  // wait); check this before each wait.
  bool wait_for_room(std::size_t wanted = 1) {
    header_->producer_wait.store(1, std::memory_order_seq_cst);
    if (room() < wanted) {
      return true;
    }
    header_->producer_wait.store(0, std::memory_order_relaxed);
    return false;
  }

 private:
  ByteRingHeader* header_;
  std::span<std::byte> data_;
  std::uint32_t written_;
};

// The end that reads.
class ByteRingConsumer {
 public:
  ByteRingConsumer(ByteRingHeader& header, std::span<std::byte> data)
      : header_(&header), data_(data), read_(header.read.load(std::memory_order_relaxed)) {}

  // Bytes to read, 0 if the peer's counter makes no sense.
  std::size_t available() const {
    const std::uint32_t used = header_->written.load(std::memory_order_acquire) - read_;
    return used > data_.size() ? 0 : used;
  }

  // Offset in the ring's memory of the byte `ahead` bytes after the next one to read.
  std::size_t offset(std::size_t ahead = 0) const { return (read_ + ahead) & (data_.size() - 1); }

  // Up to `bytes.size()` bytes; returns how many.
  std::size_t read(std::span<std::byte> bytes) {
    const std::size_t count = std::min(bytes.size(), available());
    const std::size_t first = std::min(count, data_.size() - offset());
    if (first != 0) {
      std::memcpy(bytes.data(), data_.data() + offset(), first);
    }
    if (count > first) {
      std::memcpy(bytes.data() + first, data_.data(), count - first);
    }
    consume(count);
    return count;
  }

  // Frees `count` bytes, at most available(), that were used in place.
  void consume(std::size_t count) {
    read_ += static_cast<std::uint32_t>(std::min(count, available()));
    header_->read.store(read_, std::memory_order_seq_cst);
  }

  // True once per wait of the producer: the caller now owes it a signal.
  bool producer_waits() {
    return header_->producer_wait.load(std::memory_order_seq_cst) != 0 &&
           header_->producer_wait.exchange(0, std::memory_order_seq_cst) != 0;
  }

  // Asks for a signal when more than `beyond` bytes are there. Returns false if they are already.
  bool wait_for_bytes(std::size_t beyond = 0) {
    header_->consumer_wait.store(1, std::memory_order_seq_cst);
    if (available() <= beyond) {
      return true;
    }
    header_->consumer_wait.store(0, std::memory_order_relaxed);
    return false;
  }

 private:
  ByteRingHeader* header_;
  std::span<std::byte> data_;
  std::uint32_t read_;
};

}  // namespace guest
