#include <asm/unistd.h>

#include <algorithm>
#include <array>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/futex.h"
#include "guest-kernel/linux/server/futex_vector.h"
#include "guest-kernel/linux/server/ipc/call_deadline.h"
#include "guest-kernel/linux/server/ipc/poll_readiness.h"
#include "guest-kernel/linux/server/ipc/poll_watches.h"
#include "guest-kernel/linux/server/ipc/signal_mask_argument.h"
#include "guest-kernel/linux/server/process_table.h"

// Waiting for descriptors: poll(2), select(2).
namespace linux_server {
namespace {

struct PollEntry {
  std::int32_t descriptor;
  std::uint16_t events;
  std::uint16_t results;
};

// select(2)'s sets end there.
constexpr std::uint64_t kMaximumInSet = 4096;

// Blocks until one of the files changes that `watch_all` adds to the watches that it is given.
template <typename Watch>
std::int64_t wait_for_files(Task& task, Watch watch_all) {
  if (task.interrupted) {
    // A handler ends the wait whatever its SA_RESTART says.
    return shim::kRestartUnlessHandled;
  }
  auto* watches = new PollWatches(task);
  if (watches == nullptr) {
    return -ENOMEM;
  }
  task.watches = Reference<Counted>(watches);
  if (!watch_all(*watches)) {
    task.watches.reset();
    return -ENOMEM;
  }
  return task.wait_for_deadline();
}

bool watch_entries(Task& task, PollWatches& watches) {
  const std::uint64_t count = static_cast<std::uint32_t>(task.arguments[1]);
  for (std::uint64_t index = 0; index < count; ++index) {
    const auto entry =
        task.process->space().read_value<PollEntry>(task.arguments[0] + index * sizeof(PollEntry));
    if (!entry || entry->descriptor < 0) {
      continue;
    }
    const auto file =
        task.process->descriptors().find(static_cast<std::uint64_t>(entry->descriptor));
    if (file && !watches.add(file, entry->events)) {
      return false;
    }
  }
  return true;
}

std::int64_t poll(Task& task) {
  task.watches.reset();
  const std::uint64_t count = static_cast<std::uint32_t>(task.arguments[1]);
  if (count > task.process->limits[shim::kFileLimit].current) {
    return -EINVAL;
  }
  AddressSpace& space = task.process->space();
  std::int64_t ready = 0;
  for (std::uint64_t index = 0; index < count; ++index) {
    const std::uint64_t address = task.arguments[0] + index * sizeof(PollEntry);
    auto entry = space.read_value<PollEntry>(address);
    if (!entry) {
      return -EFAULT;
    }
    std::uint32_t results = 0;
    if (entry->descriptor >= 0) {
      const auto file =
          task.process->descriptors().find(static_cast<std::uint64_t>(entry->descriptor));
      results =
          file ? poll_readiness(*file) & (entry->events | kAlwaysPolled) : std::uint32_t{kInvalid};
    }
    ready += results != 0 ? 1 : 0;
    constexpr std::uint64_t kResultsOffset = 6;
    if (!space.write_value(address + kResultsOffset, static_cast<std::uint16_t>(results))) {
      return -EFAULT;
    }
  }
  return ready != 0 || task.is_due() ? ready : wait_for_files(task, [&task](auto& watches) {
    return watch_entries(task, watches);
  });
}

std::int64_t call_poll(Task& task) {
  set_deadline_in_milliseconds(task, task.arguments[2]);
  return poll(task);
}

// Tells the program how much of its time is left, where that can be written.
std::int64_t return_remaining(Task& task, std::uint64_t address, std::int64_t result,
                              bool microseconds) {
  if (result == kBlocked || address == 0) {
    return result;
  }
  TimeSpec left = to_time_spec(remaining_time(task));
  left.nanoseconds /= microseconds ? 1000 : 1;
  static_cast<void>(task.process->space().write_value(address, left));
  return result;
}

// Reads the timespec and the mask that a call names, when it is made the first time.
std::int64_t prepare(Task& task, std::uint64_t time, std::uint64_t mask, std::uint64_t mask_size) {
  if (task.resumed) {
    return 0;
  }
  std::uint64_t interval = 0;
  if (time != 0) {
    const auto value = read_time_spec(task.process->space(), time);
    if (!value) {
      return -value.error().number;
    }
    interval = *value;
  }
  if (const auto set = check_signal_mask(task, mask, mask_size); !set) {
    return -set.error().number;
  }
  set_deadline(task, time != 0 ? &interval : nullptr);
  return 0;
}

std::int64_t call_ppoll(Task& task) {
  const std::uint64_t time = task.arguments[2];
  const std::int64_t error = prepare(task, time, task.arguments[3], task.arguments[4]);
  return error != 0 ? error : return_remaining(task, time, poll(task), false);
}

using DescriptorSet = std::array<std::uint64_t, kMaximumInSet / 64>;

struct SelectGroup {
  std::uint32_t wanted;
  std::uint64_t address;
  DescriptorSet set;
  DescriptorSet ready;
};

bool contains(const DescriptorSet& set, std::uint64_t number) {
  return (set[number / 64] >> number % 64 & 1) != 0;
}

// Marks in `group.ready` those that are ready and returns how many; EBADF.
Result<std::int64_t> test_group(DescriptorTable& table, SelectGroup& group, std::uint64_t bits) {
  std::int64_t ready = 0;
  for (std::uint64_t number = 0; number < bits; ++number) {
    if (!contains(group.set, number)) {
      continue;
    }
    const auto file = table.find(number);
    if (!file) {
      return fail(EBADF);
    }
    if ((file->readiness() & group.wanted) != 0) {
      ++ready;
      group.ready[number / 64] |= std::uint64_t{1} << number % 64;
    }
  }
  return ready;
}

bool watch_groups(Task& task, std::span<const SelectGroup> groups, std::uint64_t bits,
                  PollWatches& watches) {
  for (std::uint64_t number = 0; number < bits; ++number) {
    std::uint32_t wanted = 0;
    for (const SelectGroup& group : groups) {
      wanted |= group.address != 0 && contains(group.set, number) ? group.wanted : 0;
    }
    if (wanted == 0) {
      continue;
    }
    const auto file = task.process->descriptors().find(number);
    if (file && !watches.add(file, wanted)) {
      return false;
    }
  }
  return true;
}

std::int64_t select(Task& task) {
  task.watches.reset();
  const auto count = static_cast<std::int32_t>(task.arguments[0]);
  if (count < 0) {
    return -EINVAL;
  }
  const std::uint64_t bits =
      std::min<std::uint64_t>(static_cast<std::uint64_t>(count), kMaximumInSet);
  const std::size_t bytes = (bits + 63) / 64 * 8;
  AddressSpace& space = task.process->space();
  std::array<SelectGroup, 3> groups = {
      SelectGroup{kReadable | kHangUp | kError, task.arguments[1], {}, {}},
      SelectGroup{kWritable | kError, task.arguments[2], {}, {}},
      SelectGroup{kUrgent, task.arguments[3], {}, {}}};
  std::int64_t ready = 0;
  for (SelectGroup& group : groups) {
    if (group.address == 0) {
      continue;
    }
    if (!space.read(group.address, std::as_writable_bytes(std::span(group.set)).first(bytes))) {
      return -EFAULT;
    }
    const auto found = test_group(task.process->descriptors(), group, bits);
    if (!found) {
      return -found.error().number;
    }
    ready += *found;
  }
  if (ready == 0 && !task.is_due()) {
    return wait_for_files(task,
                          [&](auto& watches) { return watch_groups(task, groups, bits, watches); });
  }
  for (const SelectGroup& group : groups) {
    if (group.address != 0 &&
        !space.write(group.address, std::as_bytes(std::span(group.ready)).first(bytes))) {
      return -EFAULT;
    }
  }
  return ready;
}

std::int64_t call_select(Task& task) {
  const std::uint64_t address = task.arguments[4];
  if (!task.resumed && address == 0) {
    set_deadline(task, nullptr);
  } else if (!task.resumed) {
    const auto value = task.process->space().read_value<TimeValue>(address);
    if (!value) {
      return -EFAULT;
    }
    if (value->microseconds < 0 || value->seconds < 0) {
      return -EINVAL;
    }
    const auto microseconds = static_cast<std::uint64_t>(value->microseconds);
    const std::uint64_t interval =
        add_time(*to_nanoseconds(value->seconds, 0),
                 std::min(microseconds, ~std::uint64_t{0} / 2000) * 1000);
    set_deadline(task, &interval);
  }
  return return_remaining(task, address, select(task), true);
}

std::int64_t call_pselect(Task& task) {
  struct Mask {
    std::uint64_t address;
    std::uint64_t size;
  };
  Mask mask = {0, sizeof(std::uint64_t)};
  if (!task.resumed && task.arguments[5] != 0) {
    const auto given = task.process->space().read_value<Mask>(task.arguments[5]);
    if (!given) {
      return -EFAULT;
    }
    mask = *given;
  }
  const std::uint64_t time = task.arguments[4];
  const std::int64_t error = prepare(task, time, mask.address, mask.size);
  return error != 0 ? error : return_remaining(task, time, select(task), false);
}

constexpr CallEntry kCalls[] = {
    {__NR_poll, call_poll},        {__NR_ppoll, call_ppoll}, {__NR_select, call_select},
    {__NR_pselect6, call_pselect}, {__NR_futex, call_futex}, {__NR_futex_waitv, call_futex_waitv},
};

}  // namespace

std::span<const CallEntry> wait_calls() {
  return kCalls;
}

}  // namespace linux_server
