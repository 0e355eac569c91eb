#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace linux_server {

// A queue of bytes with a limit. Its memory comes and goes page by page, so that an idle one costs
// nothing and one that is emptied again and again stays in one page.
class ByteQueue {
 public:
  static constexpr std::size_t kPage = 4096;

  // `capacity`: a multiple of kPage.
  explicit ByteQueue(std::size_t capacity) : capacity_(capacity) {}
  ByteQueue(const ByteQueue&) = delete;
  ByteQueue& operator=(const ByteQueue&) = delete;
  ~ByteQueue();

  std::size_t capacity() const { return capacity_; }
  // False: no memory, or more bytes are queued than it holds.
  bool set_capacity(std::size_t capacity);
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Less than the capacity leaves where queues have used up their share of the memory: then an
  // empty queue has one page, and others what is left of their last one.
  std::size_t room() const;

  // Where the next bytes are to be put, as many as are contiguous; empty: full, or no memory.
  std::span<std::byte> free_piece();
  // `count` bytes were put there.
  void append(std::size_t count) { size_ += count; }
  // The contiguous bytes from `offset` on; empty: there are none.
  std::span<const std::byte> piece(std::size_t offset = 0) const;
  // The first `count` bytes, at most size(), are done with.
  void consume(std::size_t count);
  void clear() { consume(size_); }

  // Copying; return how many bytes.
  std::size_t write(std::span<const std::byte> bytes);
  std::size_t read(std::span<std::byte> bytes);

 private:
  // One more than the capacity has: the first and the last may both be in part use.
  std::size_t page_count() const { return capacity_ / kPage + 1; }
  void release_page(std::size_t index);

  std::size_t capacity_;
  std::size_t start_ = 0;  // of the first byte, in pages_ seen as a ring
  std::size_t size_ = 0;
  std::byte** pages_ = nullptr;  // page_count() of them, null where there is nothing
};

}  // namespace linux_server
