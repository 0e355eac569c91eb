#include "guest-kernel/linux/server/call_table.h"

#include <asm/errno.h>
#include <asm/unistd.h>

#include <array>

#include "guest-kernel/linux/server/calls/system_v_calls.h"
#include "guest-kernel/linux/server/missed_calls.h"

namespace linux_server {
namespace {

struct NumberedName {
  std::uint16_t number;
  std::string_view name;
};

constexpr NumberedName kNames[] = {
#define CALL(number, name) {number, name},
#include "system_call_names.inc"
#undef CALL
};

std::array<CallHandler, kCallNumbers> handlers;
std::array<std::uint32_t, kCallNumbers> counts;

std::int64_t miss(std::uint64_t number) {
  count_missed_call(number);
  return -ENOSYS;
}

void add(std::span<const CallEntry> entries) {
  for (const CallEntry& entry : entries) {
    handlers[entry.number] = entry.handler;
  }
}

}  // namespace

void build_call_table() {
  add(file_calls());
  add(path_calls());
  add(attribute_calls());
  add(extended_attribute_calls());
  add(tree_calls());
  add(descriptor_calls());
  add(copy_calls());
  add(lock_calls());
  add(watch_calls());
  add(memory_calls());
  add(remap_calls());
  add(advice_calls());
  add(shared_memory_calls());
  add(semaphore_calls());
  add(message_calls());
  add(process_calls());
  add(identity_calls());
  add(limit_calls());
  add(schedule_calls());
  add(control_calls());
  add(timer_calls());
  add(child_calls());
  add(clone_calls());
  add(exec_calls());
  add(signal_calls());
  add(time_calls());
  add(wait_calls());
  add(pipe_calls());
  add(event_calls());
  add(epoll_calls());
  add(socket_calls());
  add(socket_message_calls());
  add(inspection_calls());
  add(process_descriptor_calls());
  add(barrier_calls());
  add(message_queue_calls());
  add(mount_calls());
  add(system_calls());
}

std::int64_t make_call(Task& task) {
  if (task.number >= kCallNumbers) {
    return miss(task.number);
  }
  if (!task.resumed) {
    ++counts[task.number];
  }
  // The task may be gone after the call.
  const std::uint64_t number = task.number;
  const CallHandler handler = handlers[number];
  const std::int64_t result = handler == nullptr ? -ENOSYS : handler(task);
  // Of an ioctl(2) it is what the device says of a request that it has no use for.
  return result == -ENOSYS && number != __NR_ioctl ? miss(number) : result;
}

std::string_view call_name(std::size_t number) {
  for (const NumberedName& name : kNames) {
    if (name.number == number) {
      return name.name;
    }
  }
  return {};
}

std::uint64_t call_count(std::size_t number) {
  return counts[number];
}
bool call_is_implemented(std::size_t number) {
  return handlers[number] != nullptr;
}

}  // namespace linux_server
