#include "guest-kernel/linux/server/process_table.h"

#include <algorithm>
#include <array>

#include "guest-kernel/linux/server/futex.h"
#include "guest-kernel/linux/server/ipc/process_groups.h"
#include "guest-kernel/linux/server/ipc/semaphore_undo.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/signals.h"
#include "guest-kernel/linux/server/terminal_line.h"

namespace linux_server {
namespace {

constexpr std::uint32_t kMaximumId = 32768;
constexpr std::uint32_t kFirstReusedId = 300;
constexpr std::uint32_t kFirstProcess = 1;
constexpr std::uint32_t kMostProcessors = 64;

constinit std::array<Process*, kMaximumProcesses> processes = {};
constinit std::array<Task*, kMaximumTasks> tasks = {};
constinit std::uint32_t next_id = kFirstProcess;
constinit Process* first_condemned = nullptr;
constinit Process** condemned_end = &first_condemned;
// How much of the tables was ever used: nobody looks further.
constinit std::size_t process_limit = 0;
constinit std::size_t task_limit = 0;

std::uint32_t take_id() {
  for (;;) {
    const std::uint32_t id = next_id;
    next_id = next_id + 1 < kMaximumId ? next_id + 1 : kFirstReusedId;
    const auto all = all_processes();
    const bool used = std::any_of(all.begin(), all.end(), [id](const Process* each) {
      return each != nullptr && (each->id() == id || each->group == id || each->session == id);
    });
    if (!used && find_task(id) == nullptr) {
      return id;
    }
  }
}

// `allowed`: those that it may be; 0: all.
std::uint32_t choose_processor(std::uint32_t preferred, std::uint64_t allowed) {
  const std::uint32_t count =
      std::clamp<std::uint32_t>(server().info().processor_count, 1, kMostProcessors);
  if (count == 1) {
    return 0;
  }
  std::array<std::uint32_t, kMostProcessors> running = {};
  for (const Task* task : all_tasks()) {
    if (task != nullptr && task->thread != guest::kNoSlot && !task->blocked) {
      ++running[task->processor];
    }
  }
  for (std::uint32_t processor = 0; processor < count && allowed != 0; ++processor) {
    running[processor] +=
        (allowed >> processor & 1) != 0 ? 0 : static_cast<std::uint32_t>(kMaximumTasks);
  }
  const auto least = std::min_element(running.begin(), running.begin() + count);
  return preferred < count && running[preferred] == *least
             ? preferred
             : static_cast<std::uint32_t>(least - running.begin());
}

void tell_parent_of_end(Process& process) {
  constexpr std::uint64_t kIgnore = 1;
  constexpr std::uint64_t kNoWait = 2;  // SA_NOCLDWAIT
  Process* parent = process.parent;
  if (parent == nullptr) {
    return;
  }
  const SignalAction& action = parent->actions[kSignalChild];
  const bool unwanted = process.exit_signal == kSignalChild &&
                        (action.handler == kIgnore || (action.flags & kNoWait) != 0);
  if (process.exit_signal != 0) {
    send_child_signal(process, process.exit_signal);
  }
  if (unwanted) {
    reap_process(process);
  }
  parent->children_changed.wake();
}

// Stopped members of a group whose last tie to its session this end cuts are told and go on.
void release_if_orphaned(std::uint32_t group) {
  const bool any_stopped = std::any_of(processes.begin(), processes.end(), [=](const auto* each) {
    return each != nullptr && each->group == group && each->state == ProcessState::kStopped;
  });
  if (any_stopped && is_orphaned_group(group)) {
    send_signal_to_group(group, kSignalHangUp);
    send_signal_to_group(group, kSignalContinue);
  }
}

// Those who lose their parent get the first process for one.
void give_away_children(Process& parent) {
  Process* first = parent.parent;
  while (first != nullptr && (!first->reaps_orphans || first->state == ProcessState::kEnded)) {
    first = first->parent;
  }
  first = first != nullptr ? first : find_process(kFirstProcess);
  for (std::size_t index = 0; index < process_limit; ++index) {
    Process* const child = processes[index];
    if (child == nullptr || child->parent != &parent) {
      continue;
    }
    child->parent = first;
    child->exit_signal = kSignalChild;  // whoever adopts it has asked for no other
    publish_parent(*child);
    if (child->parent_death_signal != 0) {
      send_signal(*child, SignalInfo::of(child->parent_death_signal, SignalInfo::kUser));
    }
    if (child->group != parent.group && child->session == parent.session) {
      release_if_orphaned(child->group);
    }
    if (child->state == ProcessState::kEnded) {
      tell_parent_of_end(*child);
    }
  }
}

}  // namespace

std::span<Process* const> all_processes() {
  return std::span(processes).first(process_limit);
}
std::span<Task* const> all_tasks() {
  return std::span(tasks).first(task_limit);
}

Process* find_process(std::uint64_t id) {
  const auto all = all_processes();
  const auto found = std::find_if(all.begin(), all.end(), [id](const Process* each) {
    return each != nullptr && each->id() == id;
  });
  return found == all.end() ? nullptr : *found;
}

Task* find_task(std::uint64_t id) {
  const auto all = all_tasks();
  const auto found = std::find_if(
      all.begin(), all.end(), [id](const Task* each) { return each != nullptr && each->id == id; });
  return found == all.end() ? nullptr : *found;
}

Task* task_at(std::uint64_t index, const ProcessMemory& memory) {
  Task* task = index < tasks.size() ? tasks[index] : nullptr;
  return task != nullptr && task->process->has_memory() && &task->process->memory() == &memory
             ? task
             : nullptr;
}

Task* find_task_of(const ProcessMemory& memory) {
  const auto all = all_tasks();
  const auto found = std::find_if(all.begin(), all.end(), [&memory](const Task* each) {
    return each != nullptr && task_at(each->index, memory) != nullptr;
  });
  return found == all.end() ? nullptr : *found;
}

std::uint64_t count_processes() {
  const auto all = all_processes();
  return static_cast<std::uint64_t>(
      std::count_if(all.begin(), all.end(), [](auto* each) { return each != nullptr; }));
}
std::uint64_t count_tasks() {
  const auto all = all_tasks();
  return static_cast<std::uint64_t>(
      std::count_if(all.begin(), all.end(), [](auto* each) { return each != nullptr; }));
}

Result<Process*> create_process(Process* parent, Reference<ProcessMemory> memory,
                                Reference<Places> places) {
  const auto place = std::find(processes.begin(), processes.end(), nullptr);
  if (place == processes.end()) {
    return fail(EAGAIN);
  }
  if (!places) {
    places = Reference<Places>(new Places());
  }
  auto* process = places ? new Process(take_id(), std::move(memory), std::move(places)) : nullptr;
  if (process == nullptr) {
    return fail(ENOMEM);
  }
  process->parent = parent;
  process->group = parent != nullptr ? parent->group : process->id();
  process->session = parent != nullptr ? parent->session : process->id();
  *place = process;
  process_limit = std::max(process_limit, static_cast<std::size_t>(place - processes.begin()) + 1);
  return process;
}

Result<Task*> create_task(Process& process) {
  const auto place = std::find(tasks.begin(), tasks.end(), nullptr);
  if (place == tasks.end()) {
    return fail(EAGAIN);
  }
  auto* task = new Task();
  if (task == nullptr) {
    return fail(ENOMEM);
  }
  task->index = static_cast<std::uint32_t>(place - tasks.begin());
  task->id = process.tasks() == nullptr ? process.id() : take_id();
  if (const Task* maker = server().current(); maker != nullptr) {
    task->scheduling = maker->scheduling;
    if (task->scheduling.resets_on_fork) {
      task->scheduling.policy = task->scheduling.priority = 0;
      task->scheduling.niceness = std::max(task->scheduling.niceness, 0);
      task->scheduling.resets_on_fork = false;
    }
  }
  *place = task;
  task_limit = std::max<std::size_t>(task_limit, task->index + 1);
  process.add_task(*task);
  return task;
}

void publish_parent(const Process& process) {
  for (const Task* task = process.tasks(); task != nullptr; task = task->next_in_process) {
    if (task->page != nullptr) {
      task->page->parent_id = process.parent == nullptr ? 0 : process.parent->id();
    }
  }
}

bool start_task(Task& task, guest::ThreadStart start) {
  const guest::Slot thread = server().allocate_slot();
  const Task* maker = server().current();
  task.processor =
      choose_processor(maker != nullptr ? maker->processor : 0, task.scheduling.processors);
  start.processor = task.processor;
  if (guest::create_thread(thread, task.process->domain(), start) != guest::Status::kOk) {
    server().release_slot(thread);
    return false;
  }
  task.thread = thread;
  task.nucleus_id = 0;
  task.suspended = task.process->state == ProcessState::kStopped;
  if (task.suspended) {
    guest::control_thread(thread, abi::ThreadOperation::kSuspend);
    return true;
  }
  begin_running(task);
  return true;
}

void move_to_allowed_processor(Task& task) {
  const std::uint64_t allowed = task.scheduling.processors;
  if (allowed == 0 || (allowed >> task.processor & 1) != 0 || task.thread == guest::kNoSlot) {
    return;
  }
  const std::uint32_t processor = choose_processor(task.processor, allowed);
  if (guest::control_thread(task.thread, abi::ThreadOperation::kSetProcessor, processor) ==
      guest::Status::kOk) {
    const bool is_running = task.share.is_running;
    end_running(task);
    task.processor = processor;
    if (is_running) {
      begin_running(task);
    }
  }
}

void end_thread_of(Task& task) {
  end_running(task);
  server().forget_call(task);
  if (task.thread != guest::kNoSlot) {
    guest::control_thread(task.thread, abi::ThreadOperation::kEnd);
    server().delete_slot(task.thread);
    task.thread = guest::kNoSlot;
  }
  task.blocked = task.held = task.suspended = false;
  task.stop_waiting();
  task.watches.reset();
}

namespace {

void delete_task(Task& task) {
  Process& process = *task.process;
  end_thread_of(task);
  process.ended_tasks_time += task.time;
  leave_futexes(task);
  if (task.page != nullptr) {
    process.memory().return_thread_page({task.page_address, task.page});
  }
  process.remove_task(task);
  tasks[task.index] = nullptr;
  delete &task;
}

}  // namespace

void end_other_tasks(Process& process, const Task* kept) {
  for (Task* task = process.tasks(); task != nullptr;) {
    Task* next = task->next_in_process;
    if (task != kept) {
      delete_task(*task);
    }
    task = next;
  }
}

void end_task(Task& task, std::int32_t wait_status) {
  Process& process = *task.process;
  if (process.task_count() == 1) {
    condemn_process(process, wait_status);
    return;
  }
  delete_task(task);
}

void discard_process(Process& process) {
  end_other_tasks(process, nullptr);
  std::replace(processes.begin(), processes.begin() + process_limit, &process,
               static_cast<Process*>(nullptr));
  delete &process;
}

namespace {

void end_process(Process& process) {
  if (process.id() == kFirstProcess) {
    // The machine goes off with all that it holds: nothing needs to be taken down.
    const std::int32_t signal = process.end_status & 0x7f;
    server().finish(signal != 0 ? 128 + signal : (process.end_status >> 8) & 0xff);
  }
  process.state = ProcessState::kEnded;
  process.wait_status = process.end_status;
  process.timers.reset();
  end_other_tasks(process, nullptr);
  process.resident_maximum = std::max(process.resident_maximum, process.space().resident());
  process.descriptors().publish(nullptr);
  process.set_memory({});
  process.memory_left.wake();
  if (process.handle) {
    process.handle->ended().wake();
  }
  process.set_descriptors({});
  undo_semaphores(process);
  if (process.session == process.id()) {
    end_terminal_session(process.session);
  }
  process.pending.clear(~std::uint64_t{0});
  give_away_children(process);
  if (process.parent != nullptr && process.parent->group != process.group &&
      process.parent->session == process.session) {
    release_if_orphaned(process.group);
  }
  tell_parent_of_end(process);
}

}  // namespace

void condemn_process(Process& process, std::int32_t wait_status) {
  if (process.state == ProcessState::kEnded || process.is_condemned) {
    return;
  }
  process.is_condemned = true;
  process.end_status = wait_status;
  *condemned_end = &process;
  condemned_end = &process.next_condemned;
}

void end_condemned_processes() {
  // One's end may condemn others.
  while (first_condemned != nullptr) {
    Process& process = *first_condemned;
    first_condemned = process.next_condemned;
    condemned_end = first_condemned != nullptr ? condemned_end : &first_condemned;
    end_process(process);
  }
}

void reap_process(Process& process) {
  std::replace(processes.begin(), processes.begin() + process_limit, &process,
               static_cast<Process*>(nullptr));
  delete &process;
}

}  // namespace linux_server
