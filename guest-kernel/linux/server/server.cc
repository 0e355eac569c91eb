#include "guest-kernel/linux/server/server.h"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/faults.h"
#include "guest-kernel/linux/server/files/chip_files.h"
#include "guest-kernel/linux/server/files/clock_device.h"
#include "guest-kernel/linux/server/files/disk_file_system.h"
#include "guest-kernel/linux/server/files/host_port.h"
#include "guest-kernel/linux/server/files/input_device.h"
#include "guest-kernel/linux/server/ipc/event_timer.h"
#include "guest-kernel/linux/server/ipc/input_signal.h"
#include "guest-kernel/linux/server/native_calls.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/signals.h"

namespace linux_server {
namespace {

using guest::Role;
using guest::Slot;
using guest::Status;

constexpr std::uint64_t kTimerSignal = 2;  // beside those of drivers and ext4::kCommitSignal

constexpr std::uint64_t kFlushInterval = 10'000'000;  // ns
// A thread that was woken runs after this time at the latest, though another goes on.
constexpr std::uint64_t kPutOffInterval = 2'000'000;  // ns
constexpr std::uint32_t kNoProcessor = ~std::uint32_t{0};

}  // namespace

void Server::report(std::string_view text) {
  if (terminal_) {
    terminal_->write(text);
    terminal_->write("\n");
    terminal_->notify_driver();
  }
}

void Server::delete_slot(Slot slot) {
  if (slot != guest::kNoSlot) {
    guest::delete_capability(abi::kSelfSlot, slot);
    slots_.release(slot);
  }
}

Process* Server::find_process(std::uint64_t id) const {
  return linux_server::find_process(id);
}

Process* Server::process_after(std::uint64_t id) const {
  Process* found = nullptr;
  for (Process* each : all_processes()) {
    if (each != nullptr && each->id() > id && (found == nullptr || each->id() < found->id())) {
      found = each;
    }
  }
  return found;
}

std::uint64_t Server::process_count() const {
  return count_processes();
}

void Server::take_input() {
  do {
    const TerminalSignal signal = terminal_->take_input();
    if (signal == TerminalSignal::kInterrupt || signal == TerminalSignal::kQuit) {
      const bool interrupt = signal == TerminalSignal::kInterrupt;
      const Signal number = interrupt ? kSignalInterrupt : kSignalQuit;
      for (Process* process : all_processes()) {
        if (process != nullptr) {
          send_signal(*process, SignalInfo::of(number, SignalInfo::kKernel));
        }
      }
    }
  } while (!terminal_->wait_for_input());
  terminal_->changed().wake();
  terminal_->notify_driver();
  send_input_signals();
}

void Server::handle_notification(std::uint64_t signals) {
  if ((signals & guest::kConsoleSignal) != 0) {
    take_input();
  }
  if ((signals & guest::kPortSignal) != 0) {
    host_port().driver_signalled();
  }
  if ((signals & guest::kInputSignal) != 0) {
    take_input_events();
  }
  if ((signals & guest::kChipSignal) != 0) {
    take_chip_answers();
    take_clock_events();
  }
  if ((signals & ext4::kCommitSignal) != 0) {
    disk_file_system().take_commit();
  }
  if ((signals & kTimerSignal) != 0) {
    armed_ = Task::kNever;
    // A deadline that nobody meets any more must not keep the server from everything else.
    timer_pause_ =
        resume_due() ? 0 : std::clamp<std::uint64_t>(2 * timer_pause_, 20'000, 2'000'000);
  }
}

void Server::answer(Task& task, std::int64_t result) {
  begin_running(task);
  guest::Message message;
  message[0] = static_cast<std::uint64_t>(result);
  guest::reply(task.token, message);
}

void Server::resume(Task& task) {
  task.resumed = true;
  guest::Message answer;
  const std::uint64_t token = task.token;
  const std::uint32_t processor = task.processor;
  if (run_call(task, answer)) {
    send({token, processor, answer});
  }
}

// A token whose thread has ended does no harm.
void Server::send(const Answer& answer) {
  if (next_.token == 0) {
    next_ = answer;
  } else if (put_off_.token == 0 && answer.processor == next_.processor) {
    put_off_ = answer;
    put_off_due_ = guest::monotonic_ns() + kPutOffInterval;
  } else {
    guest::reply(answer.token, answer.message);
  }
}

// What was put off goes with the wait where nothing else does, or by itself when its time has come.
void Server::send_put_off() {
  if (put_off_.token == 0) {
    return;
  }
  if (next_.token == 0) {
    next_ = put_off_;
  } else if (guest::monotonic_ns() >= put_off_due_) {
    guest::reply(put_off_.token, put_off_.message);
  } else {
    return;
  }
  put_off_.token = 0;
  put_off_due_ = Task::kNever;
}

void Server::resume_ready() {
  end_condemned_processes();
  while (Task* task = ready_tasks().first()) {
    task->stop_waiting();
    resume(*task);
    end_condemned_processes();
  }
  send_input_signals();  // for what an end has closed
}

bool Server::resume_due() {
  const std::uint64_t now = guest::monotonic_ns();
  bool any = std::min({flush_deadline_, put_off_due_, next_event_deadline()}) <= now;
  run_due_events(now);
  for (Task* task : all_tasks()) {
    if (task != nullptr && task->blocked && task->is_due()) {
      task->wait(ready_tasks());
      any = true;
    }
  }
  return any;
}

// Telling the driver costs more than the call that wrote a line, so that a program which goes on
// writing has it done every few milliseconds only. One that waits, or fills the ring, at once.
void Server::flush_output() {
  if (!terminal_->has_news()) {
    flush_deadline_ = Task::kNever;  // who took input may have told the driver meanwhile
    return;
  }
  const bool is_running = std::any_of(all_tasks().begin(), all_tasks().end(), [](const Task* each) {
    return each != nullptr && !each->blocked;
  });
  const std::uint64_t now = guest::monotonic_ns();
  const std::uint64_t due = last_flush_ + kFlushInterval;
  if (is_running && !terminal_->is_half_full() && now < due) {
    flush_deadline_ = due;
    return;
  }
  terminal_->notify_driver();
  last_flush_ = now;
  flush_deadline_ = Task::kNever;
}

bool Server::create_timer() {
  const Slot signal = slots_.allocate();
  const Slot timer = slots_.allocate();
  if (signal == guest::kNoSlot || timer == guest::kNoSlot ||
      guest::copy_capability(abi::kSelfSlot, signal, info_.slot_of(Role::kOwnPort),
                             abi::kRightSignal, kTimerSignal) != Status::kOk ||
      guest::create_timer(timer, signal) != Status::kOk) {
    delete_slot(signal);
    delete_slot(timer);
    return false;
  }
  timer_ = timer;
  return true;
}

// One timer for all: it is set to the earliest deadline of those who wait.
void Server::arm_timer() {
  std::uint64_t earliest = std::min({flush_deadline_, put_off_due_, next_event_deadline()});
  for (const Task* task : all_tasks()) {
    if (task != nullptr && task->blocked) {
      earliest = std::min(earliest, task->deadline);
    }
  }
  constexpr std::uint64_t kLongest = 3'600'000'000'000;  // more might not fit the TSC
  if (earliest != Task::kNever) {
    const std::uint64_t now = guest::monotonic_ns();
    earliest =
        std::max(std::min(earliest, now + kLongest), timer_pause_ == 0 ? 0 : now + timer_pause_);
  }
  if (earliest < armed_ && (timer_ != guest::kNoSlot || create_timer())) {
    armed_ = earliest;
    guest::arm_timer(timer_,
                     std::max<std::uint64_t>(guest::tsc_at(guest::time_page(), earliest), 1));
  }
}

bool Server::run_call(Task& task, guest::Message& answer) {
  end_running(task);
  const std::uint64_t start = guest::monotonic_ns();
  const std::uint32_t processor = task.processor;
  current_ = &task;
  const auto make = [&task] {
    return task.process->native() ? run_native_call(task) : make_call(task);
  };
  std::int64_t result = make();
  if (current_ != nullptr && result == kBlocked && !task.interrupted && !task.uninterruptible &&
      !task.process->is_condemned && deliverable_signals(task) != 0) {
    task.interrupted = task.resumed = true;
    result = make();
  }
  send_input_signals();
  charge_server(processor, start);
  if (std::exchange(current_, nullptr) == nullptr) {
    return false;  // the call has ended its thread
  }
  task.time.system += guest::monotonic_ns() - start;
  if (task.process->is_condemned) {
    return false;
  }
  if (result == kBlocked && (!task.interrupted || task.uninterruptible)) {
    task.blocked = true;
    return false;
  }
  task.blocked = false;
  task.stop_waiting();
  result = result == kBlocked ? shim::kRestart : result;
  if (task.process->state == ProcessState::kStopped) {
    task.held = true;
    task.held_result = result;
    return false;
  }
  answer[0] = static_cast<std::uint64_t>(result);
  begin_running(task);
  return true;
}

bool Server::handle_linux_call(ProcessMemory& memory, const guest::Received& received,
                               guest::Message& answer) {
  Task* task = task_at(received.message[7], memory);
  if (task == nullptr || task->blocked || task->held) {
    // Whoever forges the name of another thread of its own gets no further.
    answer[0] = static_cast<std::uint64_t>(-EPERM);
    return true;
  }
  next_.processor = task->processor;
  task->token = received.token;
  task->number = static_cast<std::uint32_t>(received.message[0]);  // as Linux takes it
  std::copy_n(received.message.word.begin() + 1, task->arguments.size(), task->arguments.begin());
  task->resumed = task->interrupted = task->uninterruptible = false;
  task->deadline = Task::kNever;
  task->progress = 0;
  ++task->process->calls;
  if (task->number == shim::kTakeSignal) {
    return handle_take_signal(*task, answer);
  }
  return run_call(*task, answer);
}

// The shim's own call. The process may be stopped by what it takes.
bool Server::handle_take_signal(Task& task, guest::Message& answer) {
  end_running(task);
  current_ = &task;
  Delivery delivery;
  const bool lives = take_signal(task, delivery);
  current_ = nullptr;
  if (!lives) {
    return false;
  }
  if (delivery.number == 0 && task.process->state == ProcessState::kStopped) {
    task.held = true;
    task.held_result = 0;
    return false;
  }
  begin_running(task);
  answer.word = {delivery.number, delivery.action.handler, delivery.action.flags,
                 delivery.action.restorer, delivery.action.mask};
  return true;
}

bool Server::handle_call(const guest::Received& received, guest::Message& answer) {
  ProcessMemory* memory = ProcessMemory::find(received.badge);
  if (memory == nullptr) {
    return false;
  }
  // It may end while it is being served.
  const Reference<ProcessMemory> kept(memory);
  switch (badge_kind(received.badge)) {
    case BadgeKind::kCall:
      return handle_linux_call(*memory, received, answer);
    case BadgeKind::kFault:
      return handle_fault(*memory, received.message, answer);
    case BadgeKind::kNativeCall:
      return handle_native_call(*memory, received, answer);
  }
  return false;
}

// The call of a native program, which has one thread.
bool Server::handle_native_call(ProcessMemory& memory, const guest::Received& received,
                                guest::Message& answer) {
  Task* task = find_task_of(memory);
  if (task == nullptr || task->blocked || task->held) {
    answer[0] = EPERM;
    return true;
  }
  task->token = received.token;
  task->resumed = task->interrupted = false;
  task->uninterruptible = true;
  task->progress = 0;
  task->deadline = Task::kNever;
  task->number = received.message[0];
  task->arguments = {received.message[1], received.message[2], 0};
  return run_call(*task, answer);
}

void Server::run() {
  const guest::Receiver receiver(info_.slot_of(Role::kOwnPort));
  for (;;) {
    send_put_off();
    resume_ready();
    for (; terminal_->has_room_again(); resume_ready()) {
      take_input();
    }
    flush_output();
    arm_timer();
    const auto received =
        next_.token != 0 ? receiver.reply_and_wait(next_.token, next_.message) : receiver.wait();
    next_ = {.token = 0, .processor = kNoProcessor, .message = {}};
    if (!received) {
      report("linux server: its port is gone");
      finish(kOwnFailure);
    }
    if (received->is_notification()) {
      handle_notification(received->signals());
    } else if (handle_call(*received, next_.message)) {
      next_.token = received->token;
    }
  }
}

}  // namespace linux_server
