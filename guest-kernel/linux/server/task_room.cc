#include "guest-kernel/linux/server/task_room.h"

#include <algorithm>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/refused_groups.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

constexpr std::uint64_t kFew = 8;  // threads of a process group

constinit RefusedGroups refused_groups;

std::uint64_t count_of_group(std::uint32_t group) {
  std::uint64_t count = 0;
  for (const Process* each : all_processes()) {
    // One that has ended and waits for its parent has no thread, but takes its place.
    count += each != nullptr && each->group == group ? std::max(each->task_count(), 1U) : 0;
  }
  return count;
}

bool leaves_enough(std::uint64_t left, std::uint64_t total, bool is_few) {
  return left >= total / (is_few ? 8 : 4);
}

// Page tables are what many processes run out of first: those that there are would end where
// fork(2) should fail.
bool has_kernel_memory(bool is_few) {
  constexpr std::uint64_t kUsual = 16 * abi::kPageSize;  // what a process takes, or less
  static const auto at_first = guest::information(abi::InformationKind::kDomain, 0, abi::kSelfSlot);
  const std::uint64_t total = at_first ? (*at_first)[1] : 0;
  if (count_tasks() * kUsual <= total / 2) {
    return true;  // not worth asking
  }
  const auto told = guest::information(abi::InformationKind::kDomain, 0, abi::kSelfSlot);
  return leaves_enough(told ? (*told)[1] - (*told)[0] : total, total, is_few);
}

}  // namespace

bool has_too_many_tasks(const Process& process) {
  const Credentials& own = process.credentials;
  const std::uint64_t limit = process.limits[shim::kProcessLimit].current;
  if (limit == shim::kUnlimited || own.real_user == 0 || own.has(Capability::kResources) ||
      own.has(Capability::kAdministrate)) {
    return false;
  }
  const auto tasks = all_tasks();
  const auto count = std::count_if(tasks.begin(), tasks.end(), [&own](const Task* each) {
    return each != nullptr && each->process->credentials.real_user == own.real_user;
  });
  return static_cast<std::uint64_t>(count) >= limit;
}

bool machine_has_room(const Process& process) {
  const std::uint64_t now = guest::monotonic_ns();
  const bool is_few = count_of_group(process.group) <= kFew;
  if (refused_groups.asks_too_early(process.group, process.id(), is_few, now)) {
    return false;
  }
  if (leaves_enough(kMaximumProcesses - count_processes(), kMaximumProcesses, is_few) &&
      leaves_enough(kMaximumTasks - count_tasks(), kMaximumTasks, is_few) &&
      has_kernel_memory(is_few)) {
    return true;
  }
  if (!is_few) {
    refused_groups.refuse(process.group, process.id(), now);
  }
  return false;
}

}  // namespace linux_server
