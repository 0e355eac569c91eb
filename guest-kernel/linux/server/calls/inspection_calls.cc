#include <asm/unistd.h>

#include <algorithm>
#include <array>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/calls/inspection.h"
#include "guest-kernel/linux/server/calls/path_support.h"
#include "guest-kernel/linux/server/ipc/io_vectors.h"
#include "guest-kernel/linux/server/process_table.h"

// What a process may find out about another: process_vm_readv(2), process_vm_writev(2), kcmp(2).
namespace linux_server {
namespace {

// What one call copies at most, so that it does not keep the server from everybody else: the count
// tells, as for a transfer that was cut short.
constexpr std::uint64_t kMostCopied = std::uint64_t{8} << 20;

// Copies between two processes through a buffer of the server's. A count, or -EFAULT.
std::int64_t copy_between(const UserBuffer& from, const UserBuffer& to) {
  std::array<std::byte, 4096> bytes;
  const std::uint64_t size = std::min({from.size(), to.size(), kMostCopied});
  std::uint64_t done = 0;
  while (done < size) {
    const auto piece = std::span(bytes).first(std::min<std::uint64_t>(size - done, bytes.size()));
    const std::int64_t taken = from.take(piece, done);
    const std::int64_t given =
        taken <= 0 ? taken : to.fill(piece.first(static_cast<std::uint64_t>(taken)), done);
    if (given <= 0) {
      break;
    }
    done += static_cast<std::uint64_t>(given);
    if (static_cast<std::uint64_t>(given) != piece.size()) {
      break;
    }
  }
  return done == 0 && size != 0 ? -EFAULT : static_cast<std::int64_t>(done);
}

std::int64_t transfer(Task& task, bool reads) {
  if (task.arguments[5] != 0) {
    return -EINVAL;
  }
  AddressSpace& space = task.process->space();
  IoVectors local;
  IoVectors remote;
  if (const auto read = local.read(space, task.arguments[1], task.arguments[2]); !read) {
    return as_error(read);
  }
  if (local.size() == 0) {
    return 0;
  }
  if (const auto read = remote.read_unchecked(space, task.arguments[3], task.arguments[4]); !read) {
    return as_error(read);
  }
  if (remote.size() == 0) {
    return 0;
  }
  const Task* subject = find_task(static_cast<std::uint32_t>(task.arguments[0]));
  if (subject == nullptr) {
    return -ESRCH;
  }
  Process& other = *subject->process;
  if (!may_inspect(*task.process, other) || other.native()) {
    return -EPERM;
  }
  const UserBuffer here = local.buffer(space);
  const UserBuffer there = remote.buffer(other.space());
  return reads ? copy_between(there, here) : copy_between(here, there);
}
std::int64_t call_process_vm_readv(Task& task) {
  return transfer(task, true);
}
std::int64_t call_process_vm_writev(Task& task) {
  return transfer(task, false);
}

// kcmp(2)'s order of two objects: 0 the same, else which comes first.
std::int64_t compare(const void* one, const void* other) {
  return one == other                                                                    ? 0
         : reinterpret_cast<std::uint64_t>(one) < reinterpret_cast<std::uint64_t>(other) ? 1
                                                                                         : 2;
}

std::int64_t call_kcmp(Task& task) {
  enum Kind : std::uint32_t { kFile, kMemory, kFiles, kPlaces, kActions, kIo, kSemaphores };
  Task* one = find_task(static_cast<std::uint32_t>(task.arguments[0]));
  Task* other = find_task(static_cast<std::uint32_t>(task.arguments[1]));
  if (one == nullptr || other == nullptr) {
    return -ESRCH;
  }
  if (!may_inspect(*task.process, *one->process) || !may_inspect(*task.process, *other->process)) {
    return -EPERM;
  }
  Process& first = *one->process;
  Process& second = *other->process;
  switch (static_cast<std::uint32_t>(task.arguments[2])) {
    case kFile: {
      const auto file = first.descriptors().find(static_cast<std::uint32_t>(task.arguments[3]));
      const auto against = second.descriptors().find(static_cast<std::uint32_t>(task.arguments[4]));
      return file && against ? compare(file.get(), against.get()) : -EBADF;
    }
    case kMemory:
      return compare(&first.memory(), &second.memory());
    case kFiles:
      return compare(&first.descriptors(), &second.descriptors());
    case kPlaces:
      return compare(first.places().get(), second.places().get());
    case kActions:
      return compare(&first, &second);
    case kIo:
    case kSemaphores:
      return 0;  // neither has any: Linux makes them when they are first used
    default:
      return -EINVAL;
  }
}

constexpr CallEntry kCalls[] = {
    {__NR_process_vm_readv, call_process_vm_readv},
    {__NR_process_vm_writev, call_process_vm_writev},
    {__NR_kcmp, call_kcmp},
};

}  // namespace

bool may_inspect(const Process& viewer, const Process& subject) {
  if (&viewer == &subject) {
    return true;
  }
  const Credentials& own = viewer.credentials;
  const Credentials& its = subject.credentials;
  if (own.has(Capability::kTrace)) {
    return true;
  }
  const std::uint32_t user = own.real_user;
  const std::uint32_t group = own.real_group;
  return user == its.real_user && user == its.effective_user && user == its.saved_user &&
         group == its.real_group && group == its.effective_group && group == its.saved_group &&
         subject.dumpable == 1 && (its.permitted & ~own.permitted) == 0;
}

std::span<const CallEntry> inspection_calls() {
  return kCalls;
}

}  // namespace linux_server
