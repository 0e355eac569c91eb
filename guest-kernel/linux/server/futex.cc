#include "guest-kernel/linux/server/futex.h"

#include <asm/errno.h>
#include <linux/futex.h>

#include <algorithm>
#include <array>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/futex_vector.h"
#include "guest-kernel/linux/server/process.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/time_value.h"

namespace linux_server {
namespace {

constexpr std::size_t kBuckets = 64;
alignas(WaitQueue) std::byte bucket_memory[kBuckets][sizeof(WaitQueue)];  // all zeroes: empty

struct FutexWord {
  FutexPlace place;
  std::byte* view = nullptr;  // the server's
};

WaitQueue& bucket_of(const FutexPlace& place) {
  const auto number = reinterpret_cast<std::uint64_t>(place.owner) ^ place.offset;
  return *std::launder(
      reinterpret_cast<WaitQueue*>(bucket_memory[(number >> 2 ^ number >> 12) % kBuckets]));
}

FutexPlace place_of(const AddressSpace& space, std::uint64_t address, const std::byte* view) {
  const Segment* segment = space.segments().find(address);
  if (segment == nullptr || !segment->shared) {
    return {&space, address};
  }
  return segment->file == nullptr
             ? FutexPlace{view, 0}
             : FutexPlace{segment->file, segment->file_offset + (address - segment->start)};
}

// The word at `address`, for reading, or for writing too.
Result<FutexWord> locate(AddressSpace& space, std::uint64_t address,
                         Access access = Access::kRead) {
  if (address % 4 != 0) {
    return fail(EINVAL);
  }
  const auto window = space.window(address, 4, access);
  if (!window) {
    return fail(EFAULT);
  }
  return FutexWord{place_of(space, address, window->data()), window->data()};
}

std::uint32_t load(const std::byte* word) {
  return __atomic_load_n(reinterpret_cast<const std::uint32_t*>(word), __ATOMIC_SEQ_CST);
}

void wake(Task& task) {
  task.futex = {};
  task.wait(ready_tasks());
}

// Wakes `count` of those who wait for `word`, then lets `moved` more wait for `target`.
std::int64_t wake_and_move(const FutexPlace& word, std::uint64_t count, std::uint32_t bits,
                           const FutexPlace& target, std::uint64_t moved) {
  std::int64_t done = 0;
  for (Task* task = bucket_of(word).first(); task != nullptr;) {
    Task* next = WaitQueue::next(*task);
    if (task->futex == word && (task->futex_bits & bits) != 0) {
      if (count != 0) {
        --count;
        ++done;
        wake(*task);
      } else if (moved != 0) {
        --moved;
        ++done;
        if (target != word) {  // else it is where it belongs
          task->futex = target;
          task->wait(bucket_of(target));
        }
      } else {
        break;
      }
    }
    task = next;
  }
  return done + (count != 0 ? wake_vector_waiters(word, count) : 0);
}

// Sets the deadline of a wait. Relative for FUTEX_WAIT, absolute for the others.
Result<void> set_deadline(Task& task, bool absolute, bool wall) {
  task.deadline = Task::kNever;
  if (task.arguments[3] == 0) {
    return {};
  }
  const auto time = read_time_spec(task.process->space(), task.arguments[3]);
  if (!time) {
    return std::unexpected(time.error());
  }
  const std::uint64_t origin = wall ? guest::time_page().realtime_offset : std::uint64_t{0};
  task.deadline =
      absolute ? (*time > origin ? *time - origin : 0) : add_time(guest::monotonic_ns(), *time);
  return {};
}

std::int64_t wait(Task& task, std::uint32_t bits, bool absolute, bool wall) {
  if (task.resumed) {
    if (!task.futex) {
      return 0;
    }
    if (task.is_due()) {
      task.futex = {};
      return -ETIMEDOUT;
    }
    if (task.interrupted) {
      task.futex = {};
      return task.deadline == Task::kNever ? kBlocked : -EINTR;
    }
    return task.wait(bucket_of(task.futex));
  }
  if (bits == 0) {
    return -EINVAL;
  }
  const auto word = locate(task.process->space(), task.arguments[0]);
  if (!word) {
    return -word.error().number;
  }
  if (const auto set = set_deadline(task, absolute, wall); !set) {
    return -set.error().number;
  }
  if (load(word->view) != static_cast<std::uint32_t>(task.arguments[2])) {
    return -EAGAIN;
  }
  task.futex = word->place;
  task.futex_bits = bits;
  return task.is_due() ? -ETIMEDOUT : task.wait(bucket_of(task.futex));
}

std::int64_t wake_two(Task& task) {
  // FUTEX_WAKE_OP: changes the second word, wakes at the first, and at the second if it was so.
  AddressSpace& space = task.process->space();
  const auto first = locate(space, task.arguments[0]);
  const auto second = locate(space, task.arguments[4], Access::kWrite);
  if (!first || !second) {
    return -(!first ? first : second).error().number;
  }
  const auto code = static_cast<std::uint32_t>(task.arguments[5]);
  const unsigned operation = code >> 28 & 7;
  std::uint32_t operand = code >> 12 & 0xfff;
  const std::uint32_t compared = code & 0xfff;
  operand = (code >> 28 & FUTEX_OP_OPARG_SHIFT) != 0 ? 1u << (operand & 31) : operand;
  auto* word = reinterpret_cast<std::uint32_t*>(second->view);
  std::uint32_t old = __atomic_load_n(word, __ATOMIC_SEQ_CST);
  for (;;) {
    std::uint32_t value = operand;
    switch (operation) {
      case FUTEX_OP_SET:
        break;
      case FUTEX_OP_ADD:
        value = old + operand;
        break;
      case FUTEX_OP_OR:
        value = old | operand;
        break;
      case FUTEX_OP_ANDN:
        value = old & ~operand;
        break;
      case FUTEX_OP_XOR:
        value = old ^ operand;
        break;
      default:
        return -ENOSYS;
    }
    if (__atomic_compare_exchange_n(word, &old, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
      break;
    }
  }
  const auto was = static_cast<std::int32_t>(old);
  const auto with = static_cast<std::int32_t>(compared);
  const std::array<bool, 6> outcomes = {was == with, was != with, was<with, was <= with, was> with,
                                        was >= with};
  const unsigned comparison = code >> 24 & 0xf;
  if (comparison >= outcomes.size()) {
    return -ENOSYS;
  }
  std::int64_t woken = wake_and_move(first->place, task.arguments[2], kAllFutexBits, {}, 0);
  if (outcomes[comparison]) {
    woken += wake_and_move(second->place, task.arguments[3], kAllFutexBits, {}, 0);
  }
  return woken;
}

std::int64_t requeue(Task& task, bool compares) {
  AddressSpace& space = task.process->space();
  const auto from = locate(space, task.arguments[0]);
  const auto to = locate(space, task.arguments[4]);
  if (!from || !to) {
    return -(!from ? from : to).error().number;
  }
  if (compares && load(from->view) != static_cast<std::uint32_t>(task.arguments[5])) {
    return -EAGAIN;
  }
  if (static_cast<std::int32_t>(task.arguments[2]) < 0 ||
      static_cast<std::int32_t>(task.arguments[3]) < 0) {
    return -EINVAL;
  }
  return wake_and_move(from->place, static_cast<std::uint32_t>(task.arguments[2]), kAllFutexBits,
                       to->place, static_cast<std::uint32_t>(task.arguments[3]));
}

// Locks that know their owner: the word holds its thread's id.
std::int64_t lock_owned(Task& task, bool only_try, bool wall_clock) {
  const auto located = locate(task.process->space(), task.arguments[0], Access::kWrite);
  if (!located) {
    return -located.error().number;
  }
  auto* word = reinterpret_cast<std::uint32_t*>(located->view);
  if (!task.resumed) {
    if (const auto set = set_deadline(task, true, wall_clock); !set) {
      return -set.error().number;
    }
  }
  std::uint32_t value = __atomic_load_n(word, __ATOMIC_SEQ_CST);
  for (;;) {
    const std::uint32_t owner = value & FUTEX_TID_MASK;
    if (owner == task.id) {
      return -EDEADLK;
    }
    const std::uint32_t wanted =
        owner == 0 ? task.id | (value & ~std::uint32_t{FUTEX_TID_MASK}) : value | FUTEX_WAITERS;
    if (!__atomic_compare_exchange_n(word, &value, wanted, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST)) {
      continue;
    }
    if (owner == 0) {
      return 0;
    }
    break;
  }
  if (only_try || task.is_due()) {
    return only_try ? -EAGAIN : -ETIMEDOUT;
  }
  task.futex = located->place;
  task.futex_bits = kAllFutexBits;
  return task.wait(bucket_of(task.futex));
}

std::int64_t unlock_owned(Task& task) {
  const auto located = locate(task.process->space(), task.arguments[0], Access::kWrite);
  if (!located) {
    return -located.error().number;
  }
  auto* word = reinterpret_cast<std::uint32_t*>(located->view);
  if ((__atomic_load_n(word, __ATOMIC_SEQ_CST) & FUTEX_TID_MASK) != task.id) {
    return -EPERM;
  }
  __atomic_store_n(word, 0, __ATOMIC_SEQ_CST);
  wake_and_move(located->place, ~std::uint64_t{0}, kAllFutexBits, {}, 0);
  return 0;
}

// One entry of a robust list whose owner has ended: robust_futex(7) of the kernel's documentation.
void release_robust(Task& task, std::uint64_t address) {
  AddressSpace& space = task.process->space();
  const auto located = locate(space, address, Access::kWrite);
  if (!located) {
    return;
  }
  auto* word = reinterpret_cast<std::uint32_t*>(located->view);
  std::uint32_t value = __atomic_load_n(word, __ATOMIC_SEQ_CST);
  while ((value & FUTEX_TID_MASK) == task.id) {
    if (__atomic_compare_exchange_n(word, &value, (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED, false,
                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
      wake_and_move(located->place, 1, kAllFutexBits, {}, 0);
      return;
    }
  }
}

void leave_robust_list(Task& task) {
  constexpr unsigned kMaximumEntries = 2048;
  struct Head {
    std::uint64_t next;
    std::int64_t offset;
    std::uint64_t pending;
  };
  AddressSpace& space = task.process->space();
  const std::uint64_t list = task.page->robust_list;
  const auto head = list != 0 ? space.read_value<Head>(list) : Result<Head>(fail(EFAULT));
  if (!head) {
    return;
  }
  const auto word_of = [&head](std::uint64_t entry) {
    return (entry & ~std::uint64_t{1}) + static_cast<std::uint64_t>(head->offset);
  };
  std::uint64_t entry = head->next;
  for (unsigned count = 0; (entry & ~std::uint64_t{1}) != list && count < kMaximumEntries;
       ++count) {
    const auto next = space.read_value<std::uint64_t>(entry & ~std::uint64_t{1});
    if (entry != head->pending) {
      release_robust(task, word_of(entry));
    }
    if (!next) {
      break;
    }
    entry = *next;
  }
  if (head->pending != 0) {
    release_robust(task, word_of(head->pending));
  }
}

}  // namespace

std::int64_t wake_futex(AddressSpace& space, std::uint64_t address, std::uint64_t count,
                        std::uint32_t bits) {
  const auto word = locate(space, address);
  return word ? wake_and_move(word->place, count, bits, {}, 0) : -word.error().number;
}

namespace {

// Whether other tasks run in the memory of the process.
bool has_others(Process& process) {
  const auto all = all_processes();
  return process.task_count() > 1 ||
         std::any_of(all.begin(), all.end(), [&process](const Process* each) {
           return each != nullptr && each != &process && each->has_memory() &&
                  each->memory_reference().get() == &process.memory();
         });
}

}  // namespace

Result<FutexPlace> find_futex(AddressSpace& space, std::uint64_t address, std::uint32_t& value) {
  const auto word = locate(space, address);
  if (!word) {
    return std::unexpected(word.error());
  }
  value = load(word->view);
  return word->place;
}

void leave_futexes(Task& task) {
  task.futex = {};
  if (task.page == nullptr) {
    return;
  }
  leave_robust_list(task);
  task.page->robust_list = 0;
  const std::uint64_t address = task.page->clear_thread_id;
  task.page->clear_thread_id = 0;
  // What nobody else has is not written, as on Linux.
  if (address != 0 && has_others(*task.process) &&
      task.process->space().write_value(address, std::uint32_t{0})) {
    wake_futex(task.process->space(), address, 1, kAllFutexBits);
  }
}

std::int64_t call_futex(Task& task) {
  const bool wall = (task.arguments[1] & FUTEX_CLOCK_REALTIME) != 0;
  const auto count = static_cast<std::uint32_t>(task.arguments[2]);
  const std::uint32_t operation =
      static_cast<std::uint32_t>(task.arguments[1]) & static_cast<std::uint32_t>(FUTEX_CMD_MASK);
  switch (operation) {
    case FUTEX_WAIT:
      return wait(task, kAllFutexBits, false, false);
    case FUTEX_WAIT_BITSET:
      return wait(task, static_cast<std::uint32_t>(task.arguments[5]), true, wall);
    case FUTEX_WAKE:
      return wake_futex(task.process->space(), task.arguments[0], count, kAllFutexBits);
    case FUTEX_WAKE_BITSET:
      return static_cast<std::uint32_t>(task.arguments[5]) == 0
                 ? -EINVAL
                 : wake_futex(task.process->space(), task.arguments[0], count,
                              static_cast<std::uint32_t>(task.arguments[5]));
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
      return requeue(task, operation == FUTEX_CMP_REQUEUE);
    case FUTEX_WAKE_OP:
      return wake_two(task);
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
    case FUTEX_TRYLOCK_PI:
      return lock_owned(task, operation == FUTEX_TRYLOCK_PI, operation == FUTEX_LOCK_PI || wall);
    case FUTEX_UNLOCK_PI:
      return unlock_owned(task);
    default:
      return -ENOSYS;
  }
}

}  // namespace linux_server
