#include "guest-kernel/linux/server/processor_time.h"

#include <algorithm>
#include <array>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/process.h"

namespace linux_server {
namespace {

constexpr std::size_t kMostProcessors = 64;

struct Processor {
  std::uint64_t share = 0;  // ns that a thread would have had that ran all the time
  std::uint64_t last = 0;   // monotonic ns up to which `share` is right
  std::uint32_t running = 0;
  ProcessorTime time;
};

constinit std::array<Processor, kMostProcessors> processors = {};

Processor& processor_of(std::uint32_t index) {
  return processors[std::min<std::size_t>(index, kMostProcessors - 1)];
}

void advance(Processor& processor, std::uint64_t now) {
  if (now <= processor.last) {
    return;
  }
  if (processor.running != 0) {
    processor.share += (now - processor.last) / processor.running;
    processor.time.user += now - processor.last;
  }
  processor.last = now;
}

std::uint64_t current_share(const Processor& processor) {
  Processor copy = processor;
  advance(copy, guest::monotonic_ns());
  return copy.share;
}

}  // namespace

void begin_running(Task& task) {
  if (task.share.is_running) {
    return;
  }
  Processor& processor = processor_of(task.processor);
  advance(processor, guest::monotonic_ns());
  ++processor.running;
  task.share = {true, processor.share};
}

void end_running(Task& task) {
  if (!task.share.is_running) {
    return;
  }
  Processor& processor = processor_of(task.processor);
  advance(processor, guest::monotonic_ns());
  --processor.running;
  task.share.is_running = false;
  task.time.user += processor.share - task.share.start;
}

void charge_server(std::uint32_t processor, std::uint64_t start) {
  Processor& on = processor_of(processor);
  advance(on, start);
  const std::uint64_t now = guest::monotonic_ns();
  if (now > on.last) {
    on.time.system += now - on.last;
    on.last = now;
  }
}

ProcessorTime time_of_processor(std::uint32_t processor) {
  Processor copy = processor_of(processor);
  advance(copy, guest::monotonic_ns());
  return copy.time;
}

ProcessorTime time_of(const Task& task) {
  ProcessorTime time = task.time;
  if (task.share.is_running) {
    time.user += current_share(processor_of(task.processor)) - task.share.start;
  }
  return time;
}

ProcessorTime time_of(const Process& process) {
  ProcessorTime time = process.ended_tasks_time;
  for (const Task* task = process.tasks(); task != nullptr; task = task->next_in_process) {
    time += time_of(*task);
  }
  return time;
}

std::uint32_t running_tasks(const Process& process) {
  std::uint32_t count = 0;
  for (const Task* task = process.tasks(); task != nullptr; task = task->next_in_process) {
    count += task->share.is_running ? 1 : 0;
  }
  return count;
}

}  // namespace linux_server
