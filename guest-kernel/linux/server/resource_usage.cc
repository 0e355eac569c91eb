#include "guest-kernel/linux/server/resource_usage.h"

#include <algorithm>

namespace linux_server {
namespace {

ResourceUsage make(const ProcessorTime& time, std::uint64_t resident, std::uint64_t faults) {
  ResourceUsage usage = {};
  usage.user_time = to_time_value(time.user);
  usage.system_time = to_time_value(time.system);
  usage.resident_maximum = static_cast<std::int64_t>(resident / 1024);
  usage.minor_faults = static_cast<std::int64_t>(faults);
  return usage;
}

std::uint64_t resident_maximum(const Process& process) {
  const std::uint64_t now = process.has_memory() ? process.space().resident() : 0;
  return std::max(process.resident_maximum, now);
}

}  // namespace

ResourceUsage usage_of(const Process& process) {
  return make(time_of(process), resident_maximum(process), process.page_faults);
}

ResourceUsage usage_of(const Task& task) {
  return make(time_of(task), resident_maximum(*task.process), task.process->page_faults);
}

ResourceUsage usage_of_children(const Process& process) {
  return make(process.children_time, process.children_resident_maximum,
              process.children_page_faults);
}

ResourceUsage usage_of_family(const Process& process) {
  ProcessorTime time = time_of(process);
  time += process.children_time;
  return make(time, std::max(resident_maximum(process), process.children_resident_maximum),
              process.page_faults + process.children_page_faults);
}

void add_to_parent(const Process& child) {
  if (child.parent == nullptr) {
    return;
  }
  Process& parent = *child.parent;
  parent.children_time += time_of(child);
  parent.children_time += child.children_time;
  parent.children_page_faults += child.page_faults + child.children_page_faults;
  parent.children_resident_maximum = std::max(
      {parent.children_resident_maximum, resident_maximum(child), child.children_resident_maximum});
}

}  // namespace linux_server
