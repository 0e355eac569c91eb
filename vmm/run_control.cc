#include "vmm/run_control.h"

#include <utility>

namespace ensemble::vmm {

Result<void> RunControl::add_thread(const std::function<Result<void>()>& start,
                                    std::function<void()> kick) {
  const std::lock_guard guard(mutex_);
  if (auto started = start(); !started) {
    return std::unexpected(started.error());
  }
  kicks_.push_back(std::move(kick));
  return {};
}

void RunControl::kick_all() {
  for (const auto& kick : kicks_) {
    kick();
  }
}

void RunControl::command(Command command) {
  const std::lock_guard guard(mutex_);
  if (command_ != Command::kStop && command_ != command) {
    command_ = command;
    if (command == Command::kPause) {
      kick_all();
    }
    changed_.notify_all();
  }
}

void RunControl::stop(StopReason reason) {
  const std::lock_guard guard(mutex_);
  if (command_ != Command::kStop) {
    command_ = Command::kStop;
    reason_ = std::move(reason);
    kick_all();
    changed_.notify_all();
  }
}

void RunControl::wait_until_paused() {
  std::unique_lock guard(mutex_);
  changed_.wait(guard, [this] { return all_quiet(); });
}

void RunControl::wait_until_ended() {
  std::unique_lock guard(mutex_);
  changed_.wait(guard, [this] { return command_ == Command::kStop && ended_ == kicks_.size(); });
}

RunControl::Command RunControl::current() const {
  const std::lock_guard guard(mutex_);
  return command_;
}

bool RunControl::ended() const {
  const std::lock_guard guard(mutex_);
  return command_ == Command::kStop && ended_ == kicks_.size();
}

std::optional<StopReason> RunControl::reason() const {
  const std::lock_guard guard(mutex_);
  return reason_;
}

bool RunControl::wait_to_run(const std::function<void()>& prepare) {
  std::unique_lock guard(mutex_);
  if (command_ == Command::kPause) {
    ++waiting_;
    changed_.notify_all();
    changed_.wait(guard, [this] { return command_ != Command::kPause; });
    --waiting_;
  }
  if (command_ == Command::kStop) {
    return false;
  }
  prepare();
  return true;
}

bool RunControl::thread_ended() {
  const std::lock_guard guard(mutex_);
  ++ended_;
  changed_.notify_all();
  return ended_ == kicks_.size();
}

}  // namespace ensemble::vmm
