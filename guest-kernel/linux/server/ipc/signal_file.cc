#include "guest-kernel/linux/server/ipc/signal_file.h"

#include <asm/fcntl.h>

namespace linux_server {

std::int64_t SignalFile::read(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) {
  SignalRecord record = {};
  if (buffer.size() < sizeof(record)) {
    return -EINVAL;
  }
  std::uint64_t done = 0;
  while (buffer.size() - done >= sizeof(record) && take_pending_signal(task, mask_, record)) {
    if (buffer.fill(std::as_bytes(std::span(&record, 1)), done) != sizeof(record)) {
      return done != 0 ? static_cast<std::int64_t>(done) : -EFAULT;
    }
    done += sizeof(record);
  }
  if (done != 0) {
    return static_cast<std::int64_t>(done);
  }
  return (flags() & O_NONBLOCK) != 0 ? -EAGAIN : task.wait(signal_arrivals());
}

}  // namespace linux_server
