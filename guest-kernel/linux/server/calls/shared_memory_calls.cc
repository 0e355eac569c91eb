#include <asm/unistd.h>
#include <linux/mman.h>
#include <linux/shm.h>

#include <algorithm>
#include <array>
#include <new>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/files/tmpfs.h"
#include "guest-kernel/linux/server/ipc/system_v.h"
#include "guest-kernel/linux/server/memory_pool.h"

// Shared memory of System V: shmget(2), shmat(2), shmdt(2), shmctl(2). A segment is a file in
// memory without a name; it ends with its last mapping once it is marked for removal.
namespace linux_server {
namespace {

constexpr std::uint64_t kPage = abi::kPageSize;
constexpr std::uint64_t kPageMask = kPage - 1;
constexpr std::uint64_t kMaximumSegments = 4096;  // SHMMNI
constexpr std::uint32_t kRemoved = 01000;         // SHM_DEST
constexpr std::uint32_t kLocked = 02000;          // SHM_LOCKED
constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;

constinit std::array<IpcTable::Slot, kMaximumSegments> slots = {};
constinit IpcTable segments_in_use{slots};

std::int64_t now() {
  return file_time() / kNanosecondsPerSecond;
}

class SharedMemory : public TmpfsFile, public IpcObject {
 public:
  SharedMemory(Name name, const NewNode& what, std::uint64_t size)
      : TmpfsFile(std::move(name), what, kVirtualDevice), bytes(size), changed(now()) {}
  ~SharedMemory() override { segments_in_use.remove(*this); }

  // Of all processes.
  std::uint64_t attach_count() const;

  std::uint64_t bytes;
  std::int64_t attached = 0, detached = 0, changed;
  std::uint32_t maker = 0, last_user = 0;  // processes
};

std::uint64_t SharedMemory::attach_count() const {
  std::uint64_t count = 0;
  for (const ProcessMemory* memory : ProcessMemory::all()) {
    if (memory == nullptr || mappings == 0) {
      continue;
    }
    const SegmentMap& segments = memory->space().segments();
    count += static_cast<std::uint64_t>(
        std::count_if(segments.begin(), segments.end(), [this](const Segment& segment) {
          return segment.file == this && segment.file_offset == 0;
        }));
  }
  return count;
}

SharedMemory* find(std::uint64_t id) {
  return static_cast<SharedMemory*>(segments_in_use.find(static_cast<std::uint32_t>(id)));
}

std::int64_t make_segment(Task& task, std::uint32_t key, std::uint64_t size, std::uint64_t flags) {
  if (size == 0 || size > abi::kUserEnd) {
    return -EINVAL;
  }
  if (size > memory_pool().total()) {
    return -ENOMEM;
  }
  std::array<char, 16> text;
  guest::TextWriter name(text);
  name.text("SYSV").hexadecimal(key, 8);
  NewNode what;
  what.mode = kRegularFile | 0600;
  Name copy = Name::copy(name.view());
  auto* memory =
      copy.is_null() ? nullptr : new (std::nothrow) SharedMemory(std::move(copy), what, size);
  const Reference<SharedMemory> share(memory);
  if (!share || !share->truncate((size + kPageMask) & ~kPageMask)) {
    return -ENOMEM;
  }
  share->forget_links();
  if (const auto added = segments_in_use.add(*share); !added) {
    return -added.error().number;
  }
  share->make_permissions(key, flags, task.process->credentials);
  share->maker = task.process->id();
  share->acquire();  // the table's, until it is removed
  return share->id;
}

std::int64_t call_shmget(Task& task) {
  const auto key = static_cast<std::uint32_t>(task.arguments[0]);
  const auto [first, size, flags, a, b, c] = task.arguments;
  auto* existing = static_cast<SharedMemory*>(segments_in_use.find_key(key));
  if (existing == nullptr) {
    return key != IPC_PRIVATE && (flags & IPC_CREAT) == 0 ? -ENOENT
                                                          : make_segment(task, key, size, flags);
  }
  if (const auto checked = check_existing(*existing, flags, task.process->credentials); !checked) {
    return -checked.error().number;
  }
  return size > existing->bytes ? -EINVAL : std::int64_t{existing->id};
}

// Where to attach; 0 in `start`: anywhere. Negative errno.
std::int64_t choose_place(AddressSpace& space, std::uint64_t address, std::uint64_t size,
                          std::uint64_t flags, std::uint64_t& start) {
  if (address == 0) {
    start = (flags & SHM_REMAP) != 0 ? 0 : space.find_range(size, 0);
    return (flags & SHM_REMAP) != 0 ? -EINVAL : start == 0 ? -ENOMEM : 0;
  }
  start = (flags & SHM_RND) != 0 ? address & ~kPageMask : address;
  if ((start & kPageMask) != 0 || start < abi::kUserStart || start >= abi::kUserEnd ||
      size > abi::kUserEnd - start) {
    return -EINVAL;
  }
  if (space.segments().is_free(start, start + size)) {
    return 0;
  }
  if ((flags & SHM_REMAP) == 0) {
    return -EINVAL;
  }
  const auto removed = space.remove(start, size);
  return removed ? 0 : -removed.error().number;
}

std::int64_t call_shmat(Task& task) {
  const auto [id, address, flags, a, b, c] = task.arguments;
  SharedMemory* const memory = find(id);
  if (memory == nullptr) {
    return -EINVAL;
  }
  const Reference<SharedMemory> share(memory);
  const bool read_only = (flags & SHM_RDONLY) != 0;
  const bool executes = (flags & SHM_EXEC) != 0;
  const std::uint32_t wanted = kMayRead | (read_only ? 0u : std::uint32_t{kMayWrite}) |
                               (executes ? std::uint32_t{kMayExecute} : 0u);
  if (!memory->is_allowed(task.process->credentials, wanted)) {
    return -EACCES;
  }
  AddressSpace& space = task.process->space();
  Segment segment;
  const std::uint64_t size = memory->size();
  if (const std::int64_t error = choose_place(space, address, size, flags, segment.start);
      error != 0) {
    return error;
  }
  if (!space.may_grow(size, false)) {
    return -ENOMEM;
  }
  segment.end = segment.start + size;
  segment.protection = static_cast<std::uint8_t>(PROT_READ | (read_only ? 0 : PROT_WRITE) |
                                                 (executes ? PROT_EXEC : 0));
  segment.allowed = read_only ? PROT_READ | PROT_EXEC : PROT_READ | PROT_WRITE | PROT_EXEC;
  segment.use = SegmentUse::kFile;
  segment.shared = true;
  segment.file = memory;
  if (const auto added = space.add_file(segment); !added) {
    return -added.error().number;
  }
  memory->attached = now();
  memory->last_user = task.process->id();
  return static_cast<std::int64_t>(segment.start);
}

bool is_shared_memory(const Node* node) {
  for (std::uint64_t index = 0; node != nullptr && index <= segments_in_use.highest(); ++index) {
    if (static_cast<const SharedMemory*>(segments_in_use.at(index)) == node) {
      return true;
    }
  }
  return false;
}

std::int64_t call_shmdt(Task& task) {
  const std::uint64_t address = task.arguments[0];
  AddressSpace& space = task.process->space();
  const Segment* first = space.segments().find(address);
  if ((address & kPageMask) != 0 || first == nullptr || first->start != address ||
      first->file_offset != 0 || !is_shared_memory(first->file)) {
    return -EINVAL;
  }
  const Reference<SharedMemory> memory(static_cast<SharedMemory*>(first->file));
  const std::uint64_t end = address + memory->size();
  for (std::uint64_t at = address; at < end;) {
    const Segment* segment = space.segments().find(at);
    if (segment == nullptr || segment->file != memory.get() ||
        segment->file_offset != segment->start - address) {
      at += kPage;  // the program has put something else there
      continue;
    }
    const std::uint64_t size = segment->size();
    at = segment->end;
    if (const auto removed = space.remove(segment->start, size); !removed) {
      return -removed.error().number;
    }
  }
  memory->detached = now();
  memory->last_user = task.process->id();
  return 0;
}

shmid64_ds describe(const SharedMemory& memory) {
  shmid64_ds result = {};
  result.shm_perm = memory.permissions();
  result.shm_segsz = memory.bytes;
  result.shm_atime = memory.attached;
  result.shm_dtime = memory.detached;
  result.shm_ctime = memory.changed;
  result.shm_cpid = static_cast<std::int32_t>(memory.maker);
  result.shm_lpid = static_cast<std::int32_t>(memory.last_user);
  result.shm_nattch = memory.attach_count();
  return result;
}

std::int64_t give_limits(Task& task) {
  shminfo64 limits = {};
  constexpr std::uint64_t kUnlimited = ~std::uint64_t{0} - (std::uint64_t{1} << 24);  // SHMMAX
  limits.shmmax = limits.shmall = kUnlimited;
  limits.shmmin = SHMMIN;
  limits.shmmni = limits.shmseg = kMaximumSegments;
  return task.process->space().write_value(task.arguments[2], limits)
             ? static_cast<std::int64_t>(segments_in_use.highest())
             : -EFAULT;
}

std::int64_t give_usage(Task& task) {
  shm_info usage = {};
  usage.used_ids = static_cast<int>(segments_in_use.count());
  for (std::uint64_t index = 0; index <= segments_in_use.highest(); ++index) {
    if (const auto* memory = static_cast<SharedMemory*>(segments_in_use.at(index));
        memory != nullptr) {
      usage.shm_tot += memory->size() / kPage;
      usage.shm_rss += memory->attributes(nullptr).allocated / kPage;
    }
  }
  return task.process->space().write_value(task.arguments[2], usage)
             ? static_cast<std::int64_t>(segments_in_use.highest())
             : -EFAULT;
}

std::int64_t give_state(Task& task, std::uint32_t command) {
  const bool by_index = command != IPC_STAT;
  const std::uint64_t number = static_cast<std::uint32_t>(task.arguments[0]);
  const auto* memory =
      by_index ? static_cast<SharedMemory*>(segments_in_use.at(number)) : find(number);
  if (memory == nullptr) {
    return -EINVAL;
  }
  if (command != SHM_STAT_ANY && !memory->is_allowed(task.process->credentials, kMayRead)) {
    return -EACCES;
  }
  const std::int64_t result = by_index ? memory->id : 0;
  return task.process->space().write_value(task.arguments[2], describe(*memory)) ? result : -EFAULT;
}

// From now on it has no key, and lives as long as it is attached.
std::int64_t remove(SharedMemory& memory) {
  if ((memory.mode & kRemoved) == 0) {
    memory.mode |= kRemoved;
    memory.key = IPC_PRIVATE;
    memory.release();
  }
  return 0;
}

std::int64_t call_shmctl(Task& task) {
  const auto command = static_cast<std::uint32_t>(task.arguments[1]) & ~std::uint32_t{IPC_64};
  if (static_cast<std::int32_t>(task.arguments[0]) < 0 ||
      static_cast<std::int32_t>(task.arguments[1]) < 0) {
    return -EINVAL;
  }
  switch (command) {
    case IPC_INFO:
      return give_limits(task);
    case SHM_INFO:
      return give_usage(task);
    case IPC_STAT:
    case SHM_STAT:
    case SHM_STAT_ANY:
      return give_state(task, command);
    case IPC_RMID:
    case IPC_SET:
    case SHM_LOCK:
    case SHM_UNLOCK:
      break;
    default:
      return -EINVAL;
  }
  shmid64_ds wanted = {};
  if (command == IPC_SET) {
    const auto read = task.process->space().read_value<shmid64_ds>(task.arguments[2]);
    if (!read) {
      return -EFAULT;
    }
    wanted = *read;
  }
  SharedMemory* const memory = find(task.arguments[0]);
  if (memory == nullptr) {
    return -EINVAL;
  }
  if (!memory->is_owned_by(task.process->credentials)) {
    return -EPERM;
  }
  switch (command) {
    case IPC_RMID:
      return remove(*memory);
    case IPC_SET:
      memory->change_permissions(wanted.shm_perm);
      memory->changed = now();
      return 0;
    case SHM_LOCK:
      memory->mode |= kLocked;
      return 0;
    default:
      memory->mode &= ~kLocked;
      return 0;
  }
}

constexpr CallEntry kCalls[] = {
    {__NR_shmget, call_shmget},
    {__NR_shmat, call_shmat},
    {__NR_shmdt, call_shmdt},
    {__NR_shmctl, call_shmctl},
};

}  // namespace

std::span<const CallEntry> shared_memory_calls() {
  return kCalls;
}

}  // namespace linux_server
