#include "guest-kernel/linux/server/futex_vector.h"

#include <linux/futex.h>

#include <array>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/futex.h"
#include "guest-kernel/linux/server/process.h"
#include "guest-kernel/linux/server/time_value.h"
#include "guest-kernel/linux/shim/clocks.h"

namespace linux_server {
namespace {

// struct futex_waitv
struct UserWaiter {
  std::uint64_t value;
  std::uint64_t address;
  std::uint32_t flags;
  std::uint32_t reserved;
};

constexpr std::uint64_t kMostFutexes = 128;

class VectorWaiter;
constinit VectorWaiter* first_waiter = nullptr;

// A task's wait for several futexes, kept in Task::watches.
class VectorWaiter final : public Counted {
 public:
  explicit VectorWaiter(Task& task) : task_(task), next_(first_waiter) { first_waiter = this; }
  ~VectorWaiter() override {
    VectorWaiter** link = &first_waiter;
    while (*link != this) {
      link = &(*link)->next_;
    }
    *link = next_;
  }

  void add(const FutexPlace& place) { places_[count_++] = place; }
  // Which one has been woken; -1: none.
  std::int64_t woken() const { return woken_; }
  VectorWaiter* next() const { return next_; }

  // Whether it waited for `place`.
  bool wake(const FutexPlace& place) {
    for (std::size_t index = 0; index < count_ && woken_ < 0; ++index) {
      if (places_[index] == place) {
        woken_ = static_cast<std::int64_t>(index);
        task_.wait(ready_tasks());
        return true;
      }
    }
    return false;
  }

 private:
  Task& task_;
  VectorWaiter* next_;
  std::array<FutexPlace, kMostFutexes> places_;
  std::size_t count_ = 0;
  std::int64_t woken_ = -1;
};

// The call's absolute deadline. EFAULT, EINVAL.
std::int64_t set_deadline(Task& task) {
  task.deadline = Task::kNever;
  if (task.arguments[3] == 0) {
    return 0;
  }
  const auto clock = static_cast<std::uint32_t>(task.arguments[4]);
  if (clock != shim::kClockRealtime && clock != shim::kClockMonotonic) {
    return -EINVAL;
  }
  const auto time = read_time_spec(task.process->space(), task.arguments[3]);
  if (!time) {
    return -time.error().number;
  }
  const std::uint64_t origin =
      clock == shim::kClockRealtime ? guest::time_page().realtime_offset : std::uint64_t{0};
  task.deadline = *time > origin ? *time - origin : 0;
  return 0;
}

// All of `user` is checked before any value is looked at, as on Linux.
std::int64_t check(std::span<const UserWaiter> user) {
  constexpr std::uint32_t kPrivate = 128;
  constexpr std::uint32_t kFourBytes = 2;
  for (const UserWaiter& each : user) {
    if ((each.flags & ~kPrivate) != kFourBytes || each.reserved != 0 || each.value > 0xffff'ffff) {
      return -EINVAL;
    }
  }
  return 0;
}

std::int64_t begin(Task& task) {
  const auto count = static_cast<std::uint32_t>(task.arguments[1]);
  if (static_cast<std::uint32_t>(task.arguments[2]) != 0 || count == 0 || count > kMostFutexes ||
      task.arguments[0] == 0) {
    return -EINVAL;
  }
  if (const std::int64_t error = set_deadline(task); error != 0) {
    return error;
  }
  std::array<UserWaiter, kMostFutexes> buffer;
  const auto user = std::span(buffer).first(count);
  AddressSpace& space = task.process->space();
  if (!space.read(task.arguments[0], std::as_writable_bytes(user))) {
    return -EFAULT;
  }
  if (const std::int64_t error = check(user); error != 0) {
    return error;
  }
  const Reference<VectorWaiter> waiter(new VectorWaiter(task));
  if (!waiter) {
    return -ENOMEM;
  }
  for (const UserWaiter& each : user) {
    std::uint32_t value = 0;
    const auto place = find_futex(space, each.address, value);
    if (!place) {
      return -place.error().number;
    }
    if (value != each.value) {
      return -EAGAIN;
    }
    waiter->add(*place);
  }
  if (task.is_due()) {
    return -ETIMEDOUT;
  }
  task.watches = waiter;
  return task.wait_for_deadline();
}

}  // namespace

std::int64_t wake_vector_waiters(const FutexPlace& place, std::uint64_t count) {
  std::int64_t done = 0;
  for (VectorWaiter* each = first_waiter;
       each != nullptr && static_cast<std::uint64_t>(done) < count; each = each->next()) {
    done += each->wake(place) ? 1 : 0;
  }
  return done;
}

std::int64_t call_futex_waitv(Task& task) {
  if (!task.resumed) {
    return begin(task);
  }
  const auto* waiter = static_cast<const VectorWaiter*>(task.watches.get());
  std::int64_t result = task.wait_for_deadline();
  if (waiter == nullptr || waiter->woken() >= 0) {
    result = waiter == nullptr ? -EAGAIN : waiter->woken();
  } else if (task.is_due()) {
    result = -ETIMEDOUT;
  } else if (!task.interrupted) {
    return result;
  }
  task.watches.reset();
  return result;
}

}  // namespace linux_server
