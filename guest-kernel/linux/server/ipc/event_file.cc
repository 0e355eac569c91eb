#include "guest-kernel/linux/server/ipc/event_file.h"

#include <asm/fcntl.h>

namespace linux_server {

std::int64_t EventFile::read(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) {
  if (buffer.size() < sizeof(count_)) {
    return -EINVAL;
  }
  if (count_ == 0) {
    return (flags() & O_NONBLOCK) != 0 ? -EAGAIN : task.wait(changed_);
  }
  const std::uint64_t taken = semaphore_ ? 1 : count_;
  // Linux counts down before it copies; nothing is lost here by a bad pointer.
  if (buffer.fill(std::as_bytes(std::span(&taken, 1))) != sizeof(taken)) {
    return -EFAULT;
  }
  count_ -= taken;
  changed_.wake(kWritable);
  return sizeof(taken);
}

std::int64_t EventFile::write(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) {
  std::uint64_t value = 0;
  if (buffer.size() < sizeof(value)) {
    return -EINVAL;
  }
  if (buffer.take(std::as_writable_bytes(std::span(&value, 1))) != sizeof(value)) {
    return -EFAULT;
  }
  if (value > kMaximum) {
    return -EINVAL;
  }
  if (value > kMaximum - count_) {
    return (flags() & O_NONBLOCK) != 0 ? -EAGAIN : task.wait(changed_);
  }
  count_ += value;
  changed_.wake(kReadable);
  return sizeof(value);
}

std::uint32_t EventFile::readiness() const {
  return (count_ != 0 ? kReadable : 0u) | (count_ < kMaximum ? kWritable : 0u);
}

}  // namespace linux_server
