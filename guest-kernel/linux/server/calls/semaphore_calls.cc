#include <asm/unistd.h>
#include <linux/sem.h>

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "guest-kernel/linux/server/calls/system_v_calls.h"
#include "guest-kernel/linux/server/growing_array.h"
#include "guest-kernel/linux/server/ipc/call_deadline.h"
#include "guest-kernel/linux/server/ipc/semaphore_undo.h"
#include "guest-kernel/linux/server/ipc/system_v.h"
#include "guest-kernel/linux/server/memory_share.h"

// Semaphores of System V: semget(2), semop(2), semctl(2).
namespace linux_server {
namespace {

constexpr std::uint64_t kMaximumSets = 1024;
constexpr std::uint64_t kMaximumInSet = 32000;   // SEMMSL
constexpr std::size_t kMaximumOperations = 500;  // SEMOPM
constexpr std::int32_t kMaximumValue = 32767;    // SEMVMX
constexpr std::int64_t kSecond = 1'000'000'000;
// What a task that waits notes in Task::progress: for which semaphore, and for what.
constexpr unsigned kKindBits = 1;
constexpr std::int64_t kForZero = 1;

constinit std::array<IpcTable::Slot, kMaximumSets> slots = {};
constinit IpcTable sets{slots};

std::int64_t now() {
  return file_time() / kSecond;
}

struct Semaphore {
  std::int32_t value;
  std::uint32_t process;  // that changed it last
};

// What a process's end does to one semaphore: SEM_UNDO.
struct Undo {
  std::uint32_t process;
  std::uint32_t index;
  std::int32_t adjustment;

  std::uint64_t key() const { return std::uint64_t{process} << 32 | index; }
};

struct SemaphoreSet : IpcObject {
  ~SemaphoreSet() override {
    sets.remove(*this);
    changed_values.wake();
    system_v_share.give_back(accounted);
  }

  // The first of `undos` from the key on.
  Undo* undos_from(std::uint64_t least) {
    return std::lower_bound(
        undos.begin(), undos.end(), least,
        [](const Undo& undo, std::uint64_t value) { return undo.key() < value; });
  }
  // Null: there is none.
  Undo* find_undo(std::uint32_t process, std::uint32_t index) {
    const Undo wanted = {process, index, 0};
    Undo* const found = undos_from(wanted.key());
    return found != undos.end() && found->key() == wanted.key() ? found : nullptr;
  }
  // What the set takes of its share of the memory.
  void account() {
    const std::uint64_t size =
        semaphores.capacity() * sizeof(Semaphore) + undos.capacity() * sizeof(Undo);
    system_v_share.exchange(std::exchange(accounted, size), size);
  }

  GrowingArray<Semaphore> semaphores;
  GrowingArray<Undo> undos;  // by process, then semaphore
  WaitQueue changed_values;
  std::int64_t used = 0, changed = now();
  std::uint64_t accounted = 0;
};

SemaphoreSet* find(std::uint64_t id) {
  return static_cast<SemaphoreSet*>(sets.find(static_cast<std::uint32_t>(id)));
}

std::int64_t make_set(Task& task, std::uint32_t key, std::uint64_t count, std::uint64_t flags) {
  if (count == 0) {
    return -EINVAL;
  }
  if (!system_v_share.has(count * sizeof(Semaphore))) {
    return -ENOSPC;
  }
  auto* set = new (std::nothrow) SemaphoreSet();
  if (set == nullptr || !set->semaphores.resize(count)) {
    delete set;
    return -ENOMEM;
  }
  set->account();
  std::fill(set->semaphores.begin(), set->semaphores.end(), Semaphore{0, 0});
  if (const auto added = sets.add(*set); !added) {
    delete set;
    return -added.error().number;
  }
  set->make_permissions(key, flags, task.process->credentials);
  return set->id;
}

std::int64_t call_semget(Task& task) {
  const auto key = static_cast<std::uint32_t>(task.arguments[0]);
  const auto count = static_cast<std::int32_t>(task.arguments[1]);
  const std::uint64_t flags = task.arguments[2];
  if (count < 0 || static_cast<std::uint64_t>(count) > kMaximumInSet) {
    return -EINVAL;
  }
  auto* existing = static_cast<SemaphoreSet*>(sets.find_key(key));
  if (existing == nullptr) {
    return key != IPC_PRIVATE && (flags & IPC_CREAT) == 0
               ? -ENOENT
               : make_set(task, key, static_cast<std::uint64_t>(count), flags);
  }
  if (const auto checked = check_existing(*existing, flags, task.process->credentials); !checked) {
    return -checked.error().number;
  }
  return static_cast<std::size_t>(count) > existing->semaphores.size() ? -EINVAL
                                                                       : std::int64_t{existing->id};
}

// Makes room for the notes of SEM_UNDO, so that nothing can fail later.
bool prepare_undos(SemaphoreSet& set, std::uint32_t process, std::span<const sembuf> operations) {
  std::array<Undo, kMaximumOperations> more;
  std::size_t count = 0;
  for (const sembuf& operation : operations) {
    if ((operation.sem_flg & SEM_UNDO) != 0 && operation.sem_op != 0 &&
        set.find_undo(process, operation.sem_num) == nullptr) {
      more[count++] = {process, operation.sem_num, 0};
    }
  }
  if (count == 0) {
    return true;
  }
  const auto earlier = [](const Undo& first, const Undo& second) {
    return first.key() < second.key();
  };
  std::sort(more.begin(), more.begin() + count, earlier);
  count = static_cast<std::size_t>(std::unique(more.begin(), more.begin() + count,
                                               [](const Undo& first, const Undo& second) {
                                                 return first.key() == second.key();
                                               }) -
                                   more.begin());
  std::size_t old = set.undos.size();
  if (!system_v_share.has(count * sizeof(Undo)) || !set.undos.resize(old + count)) {
    return false;
  }
  // Both are in order: merged from the end, so that nothing is moved twice.
  for (std::size_t place = set.undos.size(); count != 0;) {
    const bool takes_old = old != 0 && earlier(more[count - 1], set.undos[old - 1]);
    set.undos[--place] = takes_old ? set.undos[--old] : more[--count];
  }
  set.account();
  return true;
}

// Notes an operation of SEM_UNDO, or takes the note back. False: it would exceed SEMAEM.
bool note_undo(SemaphoreSet& set, std::uint32_t process, const sembuf& operation, bool back) {
  Undo* const undo =
      (operation.sem_flg & SEM_UNDO) != 0 ? set.find_undo(process, operation.sem_num) : nullptr;
  if (undo == nullptr) {
    return true;
  }
  const std::int32_t wanted = undo->adjustment + (back ? operation.sem_op : -operation.sem_op);
  const bool possible = wanted >= -kMaximumValue - 1 && wanted <= kMaximumValue;
  undo->adjustment = possible ? wanted : undo->adjustment;
  return possible;
}

// Applies all operations, or none. 0; a negative errno; or the one that has to wait, in `blocked`.
std::int64_t apply(SemaphoreSet& set, std::uint32_t process, std::span<const sembuf> operations,
                   const sembuf*& blocked) {
  std::size_t done = 0;
  std::int64_t error = 0;
  for (; done < operations.size(); ++done) {
    const sembuf& operation = operations[done];
    std::int32_t& value = set.semaphores[operation.sem_num].value;
    const std::int32_t result = value + operation.sem_op;
    if ((operation.sem_op == 0 && value != 0) || result < 0) {
      blocked = &operation;
      break;
    }
    if (result > kMaximumValue || !note_undo(set, process, operation, false)) {
      error = -ERANGE;
      break;
    }
    value = result;
  }
  if (done != operations.size()) {
    for (; done > 0; --done) {
      const sembuf& operation = operations[done - 1];
      set.semaphores[operation.sem_num].value -= operation.sem_op;
      static_cast<void>(note_undo(set, process, operation, true));
    }
  }
  return error;
}

std::int64_t wait_for(Task& task, SemaphoreSet& set, const sembuf& operation) {
  if ((operation.sem_flg & IPC_NOWAIT) != 0 || (task.resumed && task.is_due())) {
    return -EAGAIN;
  }
  if (task.interrupted) {
    return -EINTR;
  }
  task.progress =
      std::int64_t{operation.sem_num} << kKindBits | (operation.sem_op == 0 ? kForZero : 0);
  return task.wait(set.changed_values);
}

std::int64_t operate(Task& task, std::span<sembuf> operations) {
  SemaphoreSet* const set = find(task.arguments[0]);
  if (set == nullptr) {
    return task.resumed ? -EIDRM : -EINVAL;
  }
  bool alters = false;
  for (const sembuf& operation : operations) {
    if (operation.sem_num >= set->semaphores.size()) {
      return -EFBIG;
    }
    alters = alters || operation.sem_op != 0;
  }
  if (!set->is_allowed(task.process->credentials, alters ? kMayWrite : kMayRead)) {
    return -EACCES;
  }
  const std::uint32_t process = task.process->id();
  if (!prepare_undos(*set, process, operations)) {
    return -ENOMEM;
  }
  const sembuf* blocked = nullptr;
  if (const std::int64_t error = apply(*set, process, operations, blocked); error != 0) {
    return error;
  }
  if (blocked != nullptr) {
    return wait_for(task, *set, *blocked);
  }
  for (const sembuf& operation : operations) {
    set->semaphores[operation.sem_num].process = process;
  }
  set->used = now();
  if (alters) {
    set->changed_values.wake();
  }
  return 0;
}

std::int64_t read_and_operate(Task& task) {
  const std::uint64_t count = task.arguments[2];
  if (count == 0 || static_cast<std::int32_t>(task.arguments[0]) < 0) {
    return -EINVAL;
  }
  if (count > kMaximumOperations) {
    return -E2BIG;
  }
  std::array<sembuf, kMaximumOperations> buffer;
  const auto operations = std::span(buffer).first(count);
  return task.process->space().read(task.arguments[1], std::as_writable_bytes(operations))
             ? operate(task, operations)
             : -EFAULT;
}

std::int64_t call_semop(Task& task) {
  set_deadline(task, nullptr);
  return read_and_operate(task);
}

std::int64_t call_semtimedop(Task& task) {
  if (task.arguments[3] == 0) {
    return call_semop(task);
  }
  const auto interval = read_time_spec(task.process->space(), task.arguments[3]);
  if (!interval) {
    return -interval.error().number;
  }
  set_deadline(task, &*interval);
  return read_and_operate(task);
}

// GETNCNT and GETZCNT.
std::int64_t count_waiting(const SemaphoreSet& set, std::uint64_t index, std::int64_t kind) {
  std::int64_t count = 0;
  for (const Task* task = set.changed_values.first(); task != nullptr;
       task = WaitQueue::next(*task)) {
    count += task->progress == (static_cast<std::int64_t>(index) << kKindBits | kind) ? 1 : 0;
  }
  return count;
}

// What all processes are to undo of one semaphore, or of all of them.
void forget_undos(SemaphoreSet& set, std::uint64_t index, bool all) {
  for (Undo& undo : set.undos) {
    undo.adjustment = all || undo.index == index ? 0 : undo.adjustment;
  }
}

std::int64_t control_one(Task& task, SemaphoreSet& set, std::uint32_t command) {
  const std::uint64_t index = static_cast<std::uint32_t>(task.arguments[1]);
  if (index >= set.semaphores.size()) {
    return -EINVAL;
  }
  Semaphore& semaphore = set.semaphores[index];
  switch (command) {
    case GETVAL:
      return semaphore.value;
    case GETPID:
      return semaphore.process;
    case GETNCNT:
      return count_waiting(set, index, 0);
    case GETZCNT:
      return count_waiting(set, index, kForZero);
    default:
      break;
  }
  const auto value = static_cast<std::int32_t>(task.arguments[3]);
  if (value < 0 || value > kMaximumValue) {
    return -ERANGE;
  }
  semaphore = {value, task.process->id()};
  forget_undos(set, index, false);
  set.changed = now();
  set.changed_values.wake();
  return 0;
}

std::int64_t control_all(Task& task, SemaphoreSet& set, std::uint32_t command) {
  AddressSpace& space = task.process->space();
  GrowingArray<std::uint16_t> values;
  if (!values.resize(set.semaphores.size())) {
    return -ENOMEM;
  }
  const std::span all(values.begin(), values.size());
  if (command == GETALL) {
    std::transform(set.semaphores.begin(), set.semaphores.end(), all.begin(),
                   [](const Semaphore& each) { return static_cast<std::uint16_t>(each.value); });
    return space.write(task.arguments[3], std::as_bytes(all)) ? 0 : -EFAULT;
  }
  if (!space.read(task.arguments[3], std::as_writable_bytes(all))) {
    return -EFAULT;
  }
  if (std::any_of(all.begin(), all.end(),
                  [](std::uint16_t each) { return each > kMaximumValue; })) {
    return -ERANGE;
  }
  for (std::size_t index = 0; index < all.size(); ++index) {
    set.semaphores[index] = {all[index], task.process->id()};
  }
  forget_undos(set, 0, true);
  set.changed = now();
  set.changed_values.wake();
  return 0;
}

std::int64_t give_state(Task& task, const SemaphoreSet& set, std::int64_t result) {
  semid64_ds state = {};
  state.sem_perm = set.permissions();
  state.sem_otime = set.used;
  state.sem_ctime = set.changed;
  state.sem_nsems = set.semaphores.size();
  return task.process->space().write_value(task.arguments[3], state) ? result : -EFAULT;
}

std::int64_t give_limits(Task& task, bool usage) {
  seminfo limits = {};
  limits.semmni = limits.semusz = kMaximumSets;
  limits.semmsl = kMaximumInSet;
  limits.semmns = limits.semmnu = limits.semmap =
      static_cast<int>(system_v_share.limit() / sizeof(Semaphore));
  limits.semopm = kMaximumOperations;
  limits.semvmx = limits.semaem = kMaximumValue;
  if (usage) {
    limits.semusz = static_cast<int>(sets.count());
    limits.semaem = 0;
    for (std::uint64_t index = 0; index <= sets.highest(); ++index) {
      const auto* set = static_cast<SemaphoreSet*>(sets.at(index));
      limits.semaem += set == nullptr ? 0 : static_cast<int>(set->semaphores.size());
    }
  }
  return task.process->space().write_value(task.arguments[3], limits)
             ? static_cast<std::int64_t>(sets.highest())
             : -EFAULT;
}

// IPC_RMID and IPC_SET.
std::int64_t change_set(Task& task, SemaphoreSet& set, std::uint32_t command) {
  if (!set.is_owned_by(task.process->credentials)) {
    return -EPERM;
  }
  if (command == IPC_RMID) {
    delete &set;
    return 0;
  }
  const auto wanted = task.process->space().read_value<semid64_ds>(task.arguments[3]);
  if (!wanted) {
    return -EFAULT;
  }
  set.change_permissions(wanted->sem_perm);
  set.changed = now();
  return 0;
}

std::int64_t control(Task& task, SemaphoreSet& set, std::uint32_t command) {
  const bool writes = command == SETVAL || command == SETALL;
  if (command != SEM_STAT_ANY && command != IPC_RMID && command != IPC_SET &&
      !set.is_allowed(task.process->credentials, writes ? kMayWrite : kMayRead)) {
    return -EACCES;
  }
  switch (command) {
    case IPC_RMID:
    case IPC_SET:
      return change_set(task, set, command);
    case IPC_STAT:
      return give_state(task, set, 0);
    case SEM_STAT:
    case SEM_STAT_ANY:
      return give_state(task, set, set.id);
    case GETALL:
    case SETALL:
      return control_all(task, set, command);
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
    case SETVAL:
      return control_one(task, set, command);
    default:
      return -EINVAL;
  }
}

std::int64_t call_semctl(Task& task) {
  const auto command = static_cast<std::uint32_t>(task.arguments[2]) & ~std::uint32_t{IPC_64};
  if (static_cast<std::int32_t>(task.arguments[0]) < 0) {
    return -EINVAL;
  }
  if (command == IPC_INFO || command == SEM_INFO) {
    return give_limits(task, command == SEM_INFO);
  }
  const bool by_index = command == SEM_STAT || command == SEM_STAT_ANY;
  auto* const set =
      by_index ? static_cast<SemaphoreSet*>(sets.at(task.arguments[0])) : find(task.arguments[0]);
  return set == nullptr ? -EINVAL : control(task, *set, command);
}

constexpr CallEntry kCalls[] = {
    {__NR_semget, call_semget},
    {__NR_semop, call_semop},
    {__NR_semtimedop, call_semtimedop},
    {__NR_semctl, call_semctl},
};

}  // namespace

void undo_semaphores(const Process& process) {
  for (std::uint64_t index = 0; index < kMaximumSets && index <= sets.highest(); ++index) {
    auto* const set = static_cast<SemaphoreSet*>(sets.at(index));
    if (set == nullptr) {
      continue;
    }
    bool changes = false;
    const Undo own = {process.id(), 0, 0};
    Undo* const first = set->undos_from(own.key());
    Undo* last = first;
    for (; last != set->undos.end() && last->process == process.id(); ++last) {
      std::int32_t& value = set->semaphores[last->index].value;
      value = std::clamp(value + last->adjustment, 0, kMaximumValue);
      changes = changes || last->adjustment != 0;
    }
    set->undos.erase(static_cast<std::size_t>(first - set->undos.begin()),
                     static_cast<std::size_t>(last - set->undos.begin()));
    if (set->undos.empty()) {
      set->undos.reset();
      set->account();
    }
    if (changes) {
      set->used = now();
      set->changed_values.wake();
    }
  }
}

std::span<const CallEntry> semaphore_calls() {
  return kCalls;
}

}  // namespace linux_server
