#include "guest-kernel/linux/server/process.h"

#include <algorithm>

namespace linux_server {

void Process::set_name(std::string_view name) {
  name_size_ = std::min(name.size(), name_.size() - 1);
  std::copy_n(name.data(), name_size_, name_.data());
  name_[name_size_] = '\0';
}

void Process::inherit(const Process& other) {
  set_name(other.name());
  working_directory = other.working_directory;
  executable = other.executable;
  file_mode_mask = other.file_mode_mask;
  root_directory = other.root_directory;
  credentials = other.credentials;
  arguments_start = other.arguments_start;
  arguments_end = other.arguments_end;
  environment_start = other.environment_start;
  environment_end = other.environment_end;
  auxiliary_start = other.auxiliary_start;
  auxiliary_end = other.auxiliary_end;
  stack_start = other.stack_start;
}

void Process::add_task(Task& task) {
  task.process = this;
  Task** end = &tasks_;
  while (*end != nullptr) {
    end = &(*end)->next_in_process;
  }
  *end = &task;
  task.next_in_process = nullptr;
  ++task_count_;
}

void Process::remove_task(Task& task) {
  for (Task** link = &tasks_; *link != nullptr; link = &(*link)->next_in_process) {
    if (*link == &task) {
      *link = task.next_in_process;
      --task_count_;
      return;
    }
  }
}

}  // namespace linux_server
