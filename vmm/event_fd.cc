#include "vmm/event_fd.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

namespace ensemble::vmm {

Result<EventFd> EventFd::create() {
  FileDescriptor descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!descriptor) {
    return std::unexpected(Error::from_errno("cannot create an eventfd", errno));
  }
  return EventFd(std::move(descriptor));
}

void EventFd::signal() const {
  const uint64_t one = 1;
  while (::write(fd(), &one, sizeof(one)) < 0 && errno == EINTR) {
  }
}

uint64_t EventFd::drain() const {
  uint64_t count = 0;
  while (::read(fd(), &count, sizeof(count)) < 0) {
    if (errno != EINTR) {
      return 0;
    }
  }
  return count;
}

}  // namespace ensemble::vmm
