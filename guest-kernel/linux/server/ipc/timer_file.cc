#include "guest-kernel/linux/server/ipc/timer_file.h"

#include <asm/fcntl.h>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/time_value.h"

namespace linux_server {

// An interval timer that nobody reads does not run on: what it missed is counted when somebody
// looks.
void TimerFile::expire() {
  expirations_ += 1;
  next_ = interval_ != 0 ? add_time(deadline(), interval_) : 0;
  changed_.wake(kReadable);
}

void TimerFile::catch_up() {
  const std::uint64_t now = guest::monotonic_ns();
  if (next_ != 0 && next_ <= now) {
    const std::uint64_t periods = (now - next_) / interval_ + 1;
    expirations_ += periods;
    next_ += periods * interval_;
  }
}

TimerFile::Setting TimerFile::setting() const {
  const std::uint64_t now = guest::monotonic_ns();
  if (is_set()) {
    return {interval_, deadline() > now ? deadline() - now : 1};
  }
  if (next_ == 0) {
    return {interval_, 0};
  }
  return {interval_, next_ > now ? next_ - now : interval_ - (now - next_) % interval_};
}

void TimerFile::start(const std::uint64_t* deadline, std::uint64_t interval) {
  cancel();
  expirations_ = 0;
  next_ = 0;
  interval_ = interval;
  if (deadline != nullptr) {
    set(*deadline);
    run_due_events(guest::monotonic_ns());
  }
}

std::int64_t TimerFile::read(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) {
  if (buffer.size() < sizeof(expirations_)) {
    return -EINVAL;
  }
  if (expirations_ == 0) {
    return (flags() & O_NONBLOCK) != 0 ? -EAGAIN : task.wait(changed_);
  }
  catch_up();
  if (buffer.fill(std::as_bytes(std::span(&expirations_, 1))) != sizeof(expirations_)) {
    return -EFAULT;
  }
  expirations_ = 0;
  if (next_ != 0) {
    set(next_);
    next_ = 0;
  }
  return sizeof(expirations_);
}

}  // namespace linux_server
