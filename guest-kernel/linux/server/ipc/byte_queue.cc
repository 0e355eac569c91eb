#include "guest-kernel/linux/server/ipc/byte_queue.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "guest-kernel/linux/server/memory_share.h"

namespace linux_server {
namespace {

std::byte** allocate_table(std::size_t count) {
  auto** table = static_cast<std::byte**>(::operator new(count * sizeof(std::byte*), std::nothrow));
  if (table != nullptr) {
    std::fill_n(table, count, nullptr);
  }
  return table;
}

}  // namespace

ByteQueue::~ByteQueue() {
  if (pages_ != nullptr) {
    for (std::size_t index = 0; index < page_count(); ++index) {
      release_page(index);
    }
    ::operator delete(pages_, page_count() * sizeof(std::byte*));
  }
}

void ByteQueue::release_page(std::size_t index) {
  if (std::byte* page = std::exchange(pages_[index], nullptr); page != nullptr) {
    queues_share.release(page, kPage);
  }
}

bool ByteQueue::set_capacity(std::size_t capacity) {
  if (capacity < size_) {
    return false;
  }
  if (pages_ == nullptr) {
    capacity_ = capacity;
    return true;
  }
  const std::size_t old_count = page_count();
  std::byte** const table = allocate_table(capacity / kPage + 1);
  if (table == nullptr) {
    return false;
  }
  // The pages in use keep their order and go to the front.
  const std::size_t offset = start_ % kPage;
  const std::size_t used = (offset + size_ + kPage - 1) / kPage;
  for (std::size_t index = 0; index < used; ++index) {
    table[index] = std::exchange(pages_[(start_ / kPage + index) % old_count], nullptr);
  }
  for (std::size_t index = 0; index < old_count; ++index) {
    release_page(index);
  }
  ::operator delete(std::exchange(pages_, table), old_count * sizeof(std::byte*));
  start_ = offset;
  capacity_ = capacity;
  return true;
}

std::size_t ByteQueue::room() const {
  const std::size_t left = capacity_ - size_;
  if (left == 0 || queues_share.has(kPage)) {
    return left;
  }
  const std::size_t at = start_ + size_;
  const bool has_page =
      size_ == 0 || (pages_ != nullptr && pages_[at / kPage % page_count()] != nullptr);
  return has_page ? std::min(left, kPage - at % kPage) : 0;
}

std::span<std::byte> ByteQueue::free_piece() {
  if (room() == 0 || (pages_ == nullptr && (pages_ = allocate_table(page_count())) == nullptr)) {
    return {};
  }
  const std::size_t at = start_ + size_;
  std::byte*& page = pages_[at / kPage % page_count()];
  if (page == nullptr) {
    page = static_cast<std::byte*>(empty() ? queues_share.allocate_always(kPage)
                                           : queues_share.allocate(kPage));
    if (page == nullptr) {
      return {};
    }
  }
  return {page + at % kPage, std::min(kPage - at % kPage, room())};
}

std::span<const std::byte> ByteQueue::piece(std::size_t offset) const {
  if (offset >= size_) {
    return {};
  }
  const std::size_t at = start_ + offset;
  return {pages_[at / kPage % page_count()] + at % kPage,
          std::min(kPage - at % kPage, size_ - offset)};
}

void ByteQueue::consume(std::size_t count) {
  if (count == 0) {
    return;
  }
  const std::size_t first = start_ / kPage;
  start_ += count;
  size_ -= count;
  // The page that the next byte goes to is kept; where nothing is left it starts over.
  for (std::size_t index = first; index < start_ / kPage; ++index) {
    release_page(index % page_count());
  }
  start_ %= page_count() * kPage;
  if (size_ == 0) {
    start_ -= start_ % kPage;
  }
}

std::size_t ByteQueue::write(std::span<const std::byte> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::span<std::byte> to = free_piece();
    if (to.empty()) {
      break;
    }
    const std::size_t count = std::min(to.size(), bytes.size() - done);
    std::memcpy(to.data(), bytes.data() + done, count);
    append(count);
    done += count;
  }
  return done;
}

std::size_t ByteQueue::read(std::span<std::byte> bytes) {
  std::size_t done = 0;
  while (done < bytes.size() && !empty()) {
    const std::span<const std::byte> from = piece();
    const std::size_t count = std::min(from.size(), bytes.size() - done);
    std::memcpy(bytes.data() + done, from.data(), count);
    consume(count);
    done += count;
  }
  return done;
}

}  // namespace linux_server
