#include <asm/unistd.h>
#include <linux/sched.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/ipc/process_file.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/shim_image.h"
#include "guest-kernel/linux/server/signals.h"
#include "guest-kernel/linux/server/task_room.h"

// Making processes and threads: fork(2), vfork(2), clone(2), clone3(2).
namespace linux_server {
namespace {

struct CloneRequest {
  std::uint64_t flags = 0;
  std::uint64_t parent_id_address = 0;
  std::uint64_t child_id_address = 0;
  std::uint64_t descriptor_address = 0;
  std::uint64_t exit_signal = 0;
  std::uint64_t stack = 0;  // 0: the parent's
  std::uint64_t thread_local_storage = 0;
};

constexpr std::uint64_t kNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                      CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

std::int64_t check(const Task& parent, const CloneRequest& request) {
  const std::uint64_t flags = request.flags;
  if (((flags & CLONE_SIGHAND) != 0 && (flags & CLONE_VM) == 0) ||
      ((flags & CLONE_THREAD) != 0 && (flags & CLONE_SIGHAND) == 0) || request.exit_signal > 64) {
    return -EINVAL;
  }
  if ((flags & CLONE_PARENT) != 0 && parent.process->parent == nullptr) {
    return -EINVAL;
  }
  const bool conflicts =
      ((flags & CLONE_FS) != 0 && (flags & (CLONE_NEWNS | CLONE_NEWUSER)) != 0) ||
      ((flags & CLONE_THREAD) != 0 && (flags & (CLONE_NEWUSER | CLONE_NEWPID)) != 0) ||
      ((flags & CLONE_SYSVSEM) != 0 && (flags & CLONE_NEWIPC) != 0);
  if (conflicts) {
    return -EINVAL;
  }
  if ((flags & kNamespaces) != 0) {
    return -EPERM;
  }
  // Tasks that share their memory are threads of one process, or the parent waits (vfork).
  const bool shares = (flags & CLONE_VM) != 0;
  if (((flags & CLONE_PIDFD) != 0 && (flags & (CLONE_THREAD | CLONE_DETACHED)) != 0) ||
      (shares && (flags & (CLONE_THREAD | CLONE_VFORK)) == 0 && request.stack == 0)) {
    return -EINVAL;
  }
  return 0;
}

shim::Frame& frame_of(const Task& task) {
  return *reinterpret_cast<shim::Frame*>(reinterpret_cast<std::byte*>(task.page) +
                                         shim::kFrameOffset);
}

// What the child's shim starts with: the parent's registers at its call, which returns 0.
void fill_page(Task& child, const Task& parent, const CloneRequest& request) {
  shim::ThreadPage& page = *child.page;
  const shim::ThreadPage& from = *parent.page;
  const bool shares = (request.flags & CLONE_VM) != 0;
  const shim::Frame frame = frame_of(parent);
  page.stack_top = child.page_address + abi::kPageSize;
  page.task = child.index;
  page.thread_id = child.id;
  page.process_id = child.process->id();
  page.parent_id = child.process->parent == nullptr ? 0 : child.process->parent->id();
  // A process that shares memory has other descriptors than the one whose they are.
  constexpr std::uint64_t kKinds =
      shim::kProcessPage + offsetof(shim::ProcessPage, descriptor_kinds);
  const bool is_thread = (request.flags & CLONE_THREAD) != 0;
  page.descriptor_kinds = is_thread ? from.descriptor_kinds : shares ? 0 : kKinds;
  page.signal_mask = from.signal_mask;
  page.pending = 0;
  page.has_saved_mask = 0;
  page.fs_base = (request.flags & CLONE_SETTLS) != 0 ? request.thread_local_storage : from.fs_base;
  page.clear_thread_id = (request.flags & CLONE_CHILD_CLEARTID) != 0 ? request.child_id_address : 0;
  page.robust_list = 0;
  if (shares && (request.flags & CLONE_VFORK) == 0) {
    page.alternate_stack = page.alternate_stack_size = 0;
    page.alternate_stack_flags = 0;
  } else {
    page.alternate_stack = from.alternate_stack;
    page.alternate_stack_size = from.alternate_stack_size;
    page.alternate_stack_flags = from.alternate_stack_flags;
  }
  std::memcpy(page.vectors, from.vectors, sizeof(page.vectors));
  page.has_vectors = 1;
  shim::Frame& to = frame_of(child);
  to = frame;
  to.number = 0;
  to.stack = request.stack != 0 ? request.stack : frame.stack;
}

Result<Reference<ProcessMemory>> copy_memory(Task& parent) {
  auto memory = ProcessMemory::create({});
  if (!memory) {
    return memory;
  }
  AddressSpace& space = parent.process->space();
  if (parent.process->memory().shim_page != nullptr) {
    space.adopt_heap_end(parent.process->memory().shim_page->heap_end);
  }
  const Forking forking = {frame_of(parent).stack, parent.process->task_count() == 1 &&
                                                       parent.process->memory().owners() == 1};
  if (const auto copied = (*memory)->space().copy_from(space, forking); !copied) {
    return std::unexpected(copied.error());
  }
  (*memory)->barriers = parent.process->memory().barriers;
  if (const auto found = (*memory)->find_shim_page(); !found) {
    return std::unexpected(found.error());
  }
  return memory;
}

// A process like the parent's, without threads.
Result<Process*> copy_process(Task& parent, const CloneRequest& request) {
  Process& old = *parent.process;
  const bool shares = (request.flags & CLONE_VM) != 0;
  const auto memory =
      shares ? Result<Reference<ProcessMemory>>(old.memory_reference()) : copy_memory(parent);
  if (!memory) {
    return std::unexpected(memory.error());
  }
  auto descriptors =
      (request.flags & CLONE_FILES) != 0 ? old.descriptor_reference() : old.descriptors().copy();
  if (!descriptors) {
    return fail(ENOMEM);
  }
  const bool is_sibling = (request.flags & CLONE_PARENT) != 0;
  const auto created =
      create_process(is_sibling ? old.parent : &old, *memory,
                     (request.flags & CLONE_FS) != 0 ? old.places() : Reference<Places>());
  if (!created) {
    return created;
  }
  Process& process = **created;
  process.group = old.group;
  process.session = old.session;
  process.set_descriptors(std::move(descriptors));
  process.exit_signal =
      is_sibling ? old.exit_signal : static_cast<std::uint32_t>(request.exit_signal);
  process.actions = old.actions;
  process.inherit(old);
  process.descriptors().set_limit(process.limits[shim::kFileLimit].current);
  if (process.limits[shim::kProcessorTimeLimit].current != shim::kUnlimited) {
    ProcessTimers* timers = timers_of(process);
    if (timers == nullptr) {
      discard_process(process);
      return fail(ENOMEM);
    }
    timers->watch_processor_limit();
  }
  process.started_ns = guest::monotonic_ns();
  if ((request.flags & CLONE_FILES) != 0) {
    process.descriptors().never_publish();
  }
  if (!shares) {
    process.descriptors().publish(process.memory().shim_page);
  }
  return created;
}

Result<void> give_page(Task& child, const Task& parent, bool shares) {
  ProcessMemory& memory = child.process->memory();
  const auto page =
      shares ? memory.take_thread_page() : memory.find_thread_page(parent.page_address);
  if (!page) {
    return std::unexpected(page.error());
  }
  child.page_address = page->address;
  child.page = page->view;
  return {};
}

std::int64_t tell_ids(Task& parent, Task& child, const CloneRequest& request) {
  AddressSpace& space = parent.process->space();
  if ((request.flags & CLONE_PARENT_SETTID) != 0 &&
      !space.write_value(request.parent_id_address, child.id)) {
    return -EFAULT;
  }
  if ((request.flags & CLONE_CHILD_SETTID) != 0) {
    // A bad address is the child's own affair.
    static_cast<void>(child.process->space().write_value(request.child_id_address, child.id));
  }
  return 0;
}

// CLONE_PIDFD: the number of the parent's descriptor of the child; without it 0. Negative errno.
std::int64_t give_descriptor(Task& parent, Process& child, const CloneRequest& request) {
  if ((request.flags & CLONE_PIDFD) == 0) {
    return 0;
  }
  const std::int64_t number = add_process_descriptor(parent, child, 0);
  if (number >= 0 && !parent.process->space().write_value(request.descriptor_address,
                                                          static_cast<std::int32_t>(number))) {
    parent.process->descriptors().close(static_cast<std::uint64_t>(number));
    return -EFAULT;
  }
  return number;
}

std::int64_t make_child(Task& parent, const CloneRequest& request) {
  if (const std::int64_t error = check(parent, request); error != 0) {
    return error;
  }
  const bool is_thread = (request.flags & CLONE_THREAD) != 0;
  const bool shares = (request.flags & CLONE_VM) != 0;
  if (has_too_many_tasks(*parent.process) || !machine_has_room(*parent.process)) {
    return -EAGAIN;
  }
  const auto process = is_thread ? Result<Process*>(parent.process) : copy_process(parent, request);
  if (!process) {
    return -process.error().number;
  }
  const auto give_up = [&](Task* child, std::int64_t error) {
    if (!is_thread) {
      discard_process(**process);
    } else if (child != nullptr) {
      end_task(*child, 0);
    }
    return error;
  };
  const auto child = create_task(**process);
  if (!child) {
    return give_up(nullptr, -child.error().number);
  }
  if (const auto given = give_page(**child, parent, shares); !given) {
    return give_up(*child, -given.error().number);
  }
  fill_page(**child, parent, request);
  if (const std::int64_t error = tell_ids(parent, **child, request); error != 0) {
    return give_up(*child, error);
  }
  const std::int64_t descriptor = give_descriptor(parent, **process, request);
  if (descriptor < 0) {
    return give_up(*child, descriptor);
  }
  const guest::ThreadStart start = {shim_code().start,
                                    (*child)->page_address + shim::kFrameOffset,
                                    (*child)->page_address,
                                    guest::kApplicationPriority,
                                    0,
                                    false};
  if (!start_task(**child, start)) {
    if ((request.flags & CLONE_PIDFD) != 0) {
      parent.process->descriptors().close(static_cast<std::uint64_t>(descriptor));
    }
    return give_up(*child, -EAGAIN);
  }
  if ((request.flags & CLONE_VFORK) != 0) {
    parent.progress = (*child)->id;
    parent.uninterruptible = true;
    return parent.wait((*process)->memory_left);
  }
  return (*child)->id;
}

std::int64_t resume_or(Task& task, const CloneRequest& request) {
  if (task.resumed) {
    // Only vfork(2) waits: its child has gone its own way, and signals count again.
    task.uninterruptible = false;
    return task.progress;
  }
  return make_child(task, request);
}

std::int64_t call_fork(Task& task) {
  CloneRequest request;
  request.exit_signal = kSignalChild;
  return resume_or(task, request);
}

std::int64_t call_vfork(Task& task) {
  CloneRequest request;
  request.flags = CLONE_VM | CLONE_VFORK;
  request.exit_signal = kSignalChild;
  return resume_or(task, request);
}

std::int64_t call_clone(Task& task) {
  constexpr std::uint64_t kSignalMask = 0xff;
  CloneRequest request;
  request.flags = task.arguments[0] & 0xffff'ffff & ~kSignalMask;
  request.exit_signal = task.arguments[0] & kSignalMask;
  request.stack = task.arguments[1];
  request.parent_id_address = request.descriptor_address = task.arguments[2];
  constexpr std::uint64_t kOneAddress = CLONE_PIDFD | CLONE_PARENT_SETTID;
  if ((request.flags & kOneAddress) == kOneAddress) {
    return -EINVAL;
  }
  request.child_id_address = task.arguments[3];
  request.thread_local_storage = task.arguments[4];
  return resume_or(task, request);
}

std::int64_t call_clone3(Task& task) {
  constexpr std::uint64_t kLeastSize = CLONE_ARGS_SIZE_VER0;
  constexpr std::uint64_t kIgnored = CLONE_DETACHED | 0xff;
  if (task.resumed) {
    return task.progress;
  }
  const std::uint64_t size = task.arguments[1];
  if (size < kLeastSize || size > abi::kPageSize) {
    return size > abi::kPageSize ? -E2BIG : -EINVAL;
  }
  clone_args given = {};
  if (!task.process->space().read(
          task.arguments[0],
          std::as_writable_bytes(std::span(&given, 1)).first(std::min(size, sizeof(given))))) {
    return -EFAULT;
  }
  // A program may know more than is known here: the rest has to be zero.
  for (std::uint64_t offset = sizeof(given); offset < size; ++offset) {
    const auto byte = task.process->space().read_value<std::uint8_t>(task.arguments[0] + offset);
    if (!byte || *byte != 0) {
      return byte ? -E2BIG : -EFAULT;
    }
  }
  if ((given.flags & (kIgnored | CLONE_INTO_CGROUP)) != 0 || given.set_tid_size != 0 ||
      (given.stack == 0) != (given.stack_size == 0) ||
      ((given.flags & (CLONE_THREAD | CLONE_PARENT)) != 0 && given.exit_signal != 0)) {
    return -EINVAL;
  }
  CloneRequest request;
  request.flags = given.flags;
  request.exit_signal = given.exit_signal;
  request.stack = given.stack == 0 ? 0 : given.stack + given.stack_size;
  request.parent_id_address = given.parent_tid;
  request.descriptor_address = given.pidfd;
  request.child_id_address = given.child_tid;
  request.thread_local_storage = given.tls;
  return make_child(task, request);
}

constexpr CallEntry kCalls[] = {
    {__NR_fork, call_fork},
    {__NR_vfork, call_vfork},
    {__NR_clone, call_clone},
    {__NR_clone3, call_clone3},
};

}  // namespace

std::span<const CallEntry> clone_calls() {
  return kCalls;
}

}  // namespace linux_server
