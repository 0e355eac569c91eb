#include <asm/unistd.h>

#include <algorithm>
#include <array>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/futex.h"
#include "guest-kernel/linux/server/time_value.h"

// Calls that wait: for descriptors, for a futex, for a signal.
namespace linux_server {
namespace {

struct PollEntry {
  std::int32_t descriptor;
  std::uint16_t events;
  std::uint16_t results;
};

constexpr std::uint64_t kMaximumEntries = DescriptorTable::kMaximum;

// Sets the deadline of a call that waits for `interval`, the first time it is made. Null: for ever.
void set_deadline(Task& task, const std::uint64_t* interval) {
  if (!task.resumed) {
    task.deadline = interval == nullptr ? Task::kNever : add_time(guest::monotonic_ns(), *interval);
  }
}

std::int64_t poll(Task& task, const std::uint64_t* interval) {
  const std::uint64_t count = task.arguments[1];
  if (count > kMaximumEntries) {
    return -EINVAL;
  }
  set_deadline(task, interval);
  AddressSpace& space = task.process->space();
  std::int64_t ready = 0;
  for (std::uint64_t index = 0; index < count; ++index) {
    const std::uint64_t address = task.arguments[0] + index * sizeof(PollEntry);
    auto entry = space.read_value<PollEntry>(address);
    if (!entry) {
      return -EFAULT;
    }
    entry->results = 0;
    if (entry->descriptor >= 0) {
      const auto file =
          task.process->descriptors().find(static_cast<std::uint64_t>(entry->descriptor));
      // POLLRDNORM and POLLWRNORM are the same as POLLIN and POLLOUT here.
      const std::uint32_t ready_now = !file ? std::uint32_t{0} : file->readiness();
      const std::uint32_t widened = ready_now | ((ready_now & kReadable) != 0 ? 0x40u : 0u) |
                                    ((ready_now & kWritable) != 0 ? 0x100u : 0u);
      entry->results = static_cast<std::uint16_t>(!file ? kInvalid : widened & entry->events);
    }
    ready += entry->results != 0 ? 1 : 0;
    if (!space.write_value(address, *entry)) {
      return -EFAULT;
    }
  }
  return ready != 0 || task.is_due() ? ready
         : task.interrupted          ? shim::kRestartUnlessHandled
                                     : task.wait_for_any_file();
}

std::int64_t call_poll(Task& task) {
  const auto milliseconds = static_cast<std::int32_t>(task.arguments[2]);
  const std::uint64_t interval = static_cast<std::uint64_t>(std::max(milliseconds, 0)) * 1'000'000;
  return poll(task, milliseconds < 0 ? nullptr : &interval);
}

std::int64_t call_ppoll(Task& task) {
  if (task.arguments[2] == 0) {
    return poll(task, nullptr);
  }
  const auto interval = read_time_spec(task.process->space(), task.arguments[2]);
  return interval ? poll(task, &*interval) : -interval.error().number;
}

using DescriptorSet = std::array<std::uint64_t, DescriptorTable::kMaximum / 64>;

std::int64_t select(Task& task, const std::uint64_t* interval) {
  const auto count = static_cast<std::int32_t>(task.arguments[0]);
  if (count < 0) {
    return -EINVAL;
  }
  set_deadline(task, interval);
  const std::uint64_t bits =
      std::min<std::uint64_t>(static_cast<std::uint64_t>(count), DescriptorTable::kMaximum);
  const std::size_t bytes = (bits + 63) / 64 * 8;
  AddressSpace& space = task.process->space();
  constexpr std::array<std::uint32_t, 3> kWanted = {kReadable, kWritable, 0};
  std::array<DescriptorSet, 3> results = {};
  std::int64_t ready = 0;
  for (std::size_t group = 0; group < kWanted.size(); ++group) {
    const std::uint64_t address = task.arguments[group + 1];
    if (address == 0) {
      continue;
    }
    DescriptorSet set = {};
    if (!space.read(address, std::as_writable_bytes(std::span(set)).first(bytes))) {
      return -EFAULT;
    }
    for (std::uint64_t number = 0; number < bits; ++number) {
      if (((set[number / 64] >> (number % 64)) & 1) == 0) {
        continue;
      }
      const auto file = task.process->descriptors().find(number);
      if (!file) {
        return -EBADF;
      }
      if ((file->readiness() & kWanted[group]) != 0) {
        results[group][number / 64] |= std::uint64_t{1} << (number % 64);
        ++ready;
      }
    }
  }
  if (ready == 0 && !task.is_due()) {
    return task.interrupted ? shim::kRestartUnlessHandled : task.wait_for_any_file();
  }
  for (std::size_t group = 0; group < kWanted.size(); ++group) {
    const std::uint64_t address = task.arguments[group + 1];
    if (address != 0 &&
        !space.write(address, std::as_bytes(std::span(results[group])).first(bytes))) {
      return -EFAULT;
    }
  }
  return ready;
}

std::int64_t call_select(Task& task) {
  if (task.arguments[4] == 0) {
    return select(task, nullptr);
  }
  const auto value = task.process->space().read_value<TimeValue>(task.arguments[4]);
  if (!value) {
    return -EFAULT;
  }
  if (value->microseconds < 0 || value->seconds < 0) {
    return -EINVAL;
  }
  const auto interval = to_nanoseconds(value->seconds, 0);
  const std::uint64_t total =
      add_time(*interval, std::min<std::uint64_t>(static_cast<std::uint64_t>(value->microseconds),
                                                  ~std::uint64_t{0} / 2000) *
                              1000);
  return select(task, &total);
}

std::int64_t call_pselect(Task& task) {
  if (task.arguments[4] == 0) {
    return select(task, nullptr);
  }
  const auto interval = read_time_spec(task.process->space(), task.arguments[4]);
  return interval ? select(task, &*interval) : -interval.error().number;
}

constexpr CallEntry kCalls[] = {
    {__NR_poll, call_poll},        {__NR_ppoll, call_ppoll}, {__NR_select, call_select},
    {__NR_pselect6, call_pselect}, {__NR_futex, call_futex},
};

}  // namespace

std::span<const CallEntry> wait_calls() {
  return kCalls;
}

}  // namespace linux_server
