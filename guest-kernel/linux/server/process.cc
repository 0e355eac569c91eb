#include "guest-kernel/linux/server/process.h"

#include <algorithm>

namespace linux_server {
namespace {

// RLIMIT_AS and RLIMIT_DATA: only memory knows of them.
constexpr std::uint64_t kAddressSpaceLimit = 9;
constexpr std::uint64_t kDataLimit = 2;

}  // namespace

Process::~Process() {
  if (handle) {
    handle->forget();
  }
}

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
  limits = other.limits;
  dumpable = other.dumpable;
  personality = other.personality;
  arguments_start = other.arguments_start;
  arguments_end = other.arguments_end;
  environment_start = other.environment_start;
  environment_end = other.environment_end;
  auxiliary_start = other.auxiliary_start;
  auxiliary_end = other.auxiliary_end;
  stack_start = other.stack_start;
}

void Process::take_program_credentials(const ProgramCredentials& program) {
  const bool other = program.credentials.effective_user != credentials.effective_user ||
                     program.credentials.effective_group != credentials.effective_group;
  dumpable = program.is_secure || other ? 0 : 1;
  if (program.is_secure || other) {
    parent_death_signal = 0;
  }
  credentials = program.credentials;
}

void Process::set_limit(std::uint64_t resource, const shim::Limit& limit) {
  limits[resource] = limit;
  if (resource == shim::kFileLimit && descriptors_) {
    descriptors_->set_limit(limit.current);
  }
  publish_limits();
}

void Process::publish_limits() {
  if (memory_) {
    memory_->space().limits = {limits[kAddressSpaceLimit].current, limits[kDataLimit].current,
                               limits[shim::kStackLimit].current};
  }
  if (memory_ && memory_->shim_page != nullptr && limits != shim::default_limits()) {
    memory_->shim_page->has_own_limits = 1;
  }
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
