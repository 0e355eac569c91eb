#include "guest-kernel/linux/server/ipc/input_signal.h"

#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/signals.h"

namespace linux_server {
namespace {

constexpr std::uint32_t kPollIn = 1;
constexpr std::uint32_t kPollOut = 2;
constexpr std::uint64_t kInBand = 0x41;    // POLLIN | POLLRDNORM
constexpr std::uint64_t kOutBand = 0x304;  // POLLOUT | POLLWRNORM | POLLWRBAND
constexpr std::uint32_t kInput = kReadable | kHangUp | kReadHangUp | kError;

constinit InputSignal* first_waiting = nullptr;

bool may_tell(const FileOwner& owner, const Process& process) {
  const Credentials& its = process.credentials;
  return owner.effective_user == 0 || owner.effective_user == its.saved_user ||
         owner.effective_user == its.real_user || owner.real_user == its.saved_user ||
         owner.real_user == its.real_user;
}

void tell(const FileOwner& owner, const SignalInfo& info) {
  if (owner.kind == FileOwner::Kind::kThread) {
    Task* task = find_task(owner.id);
    if (task != nullptr && may_tell(owner, *task->process)) {
      send_signal_to_task(*task, info);
    }
    return;
  }
  for (Process* process : all_processes()) {
    if (process == nullptr || !may_tell(owner, *process)) {
      continue;
    }
    const std::uint32_t id = owner.kind == FileOwner::Kind::kGroup ? process->group : process->id();
    if (id == owner.id) {
      send_signal(*process, info);
    }
  }
}

}  // namespace

InputSignal::~InputSignal() {
  stop();
}

void InputSignal::start(std::uint32_t descriptor) {
  descriptor_ = descriptor;
  if (WaitQueue* changes = file_.changes(); changes != nullptr) {
    was_writable_ = (file_.readiness() & kWritable) != 0;
    observe(*changes);
  }
}

void InputSignal::stop() {
  stop_observing();
  withdraw();
}

void InputSignal::withdraw() {
  for (InputSignal** link = &first_waiting; *link != nullptr; link = &(*link)->next_) {
    if (*link == this) {
      *link = next_;
      break;
    }
  }
  waits_ = false;
}

void InputSignal::woken(std::uint32_t events) {
  events_ |= events;
  if (!waits_) {
    waits_ = true;
    next_ = first_waiting;
    first_waiting = this;
  }
}

std::uint32_t InputSignal::take_news() {
  const std::uint32_t ready = file_.readiness();
  const std::uint32_t events = events_;
  const bool was_writable = was_writable_;
  events_ = 0;
  was_writable_ = (ready & kWritable) != 0;
  if ((events & ready & kInput) != 0 || ((events & kReadable) != 0 && (ready & kInput) != 0)) {
    return kPollIn;
  }
  return (events & kWritable) != 0 && was_writable_ && !was_writable ? kPollOut : 0;
}

void send_input_signals() {
  while (InputSignal* const signal = first_waiting) {
    signal->withdraw();
    const std::uint32_t news = signal->take_news();
    const FileOwner owner = signal->owner;
    const std::uint32_t descriptor = signal->descriptor_;
    if (news == 0 || owner.id == 0) {
      continue;
    }
    // The file may go with its process.
    if (owner.signal == 0) {
      tell(owner, SignalInfo::of(kSignalInput, SignalInfo::kKernel));
    } else {
      tell(owner, {{owner.signal, news, news == kPollIn ? kInBand : kOutBand, descriptor}});
    }
  }
}

}  // namespace linux_server
