#include "guest-kernel/linux/server/ipc/poll_watches.h"

#include "guest-kernel/linux/server/ipc/poll_readiness.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {
namespace {

// So many are everybody's right, whatever others watch.
constexpr std::uint32_t kEverybodys = 16;

}  // namespace

// The file lives as long as somebody waits for it, as on Linux.
class PollWatches::Watch final : public Charged<watches_share>, private WaitObserver {
 public:
  Watch(Task& task, const Reference<File>& file, std::uint32_t wanted, Watch* next)
      : next_(next), task_(task), file_(file), wanted_(wanted | kAlwaysPolled) {
    observe(*file_->changes());
  }
  ~Watch() { stop_observing(); }

  Watch* next() const { return next_; }

 private:
  void woken(std::uint32_t events) override {
    if ((widen_readiness(events) & wanted_) != 0 && task_.blocked) {
      task_.wait(ready_tasks());
    }
  }

  Watch* next_;
  Task& task_;
  Reference<File> file_;
  std::uint32_t wanted_;
};

PollWatches::~PollWatches() {
  while (first_ != nullptr) {
    Watch* const next = first_->next();
    delete first_;
    first_ = next;
  }
}

bool PollWatches::add(const Reference<File>& file, std::uint32_t wanted) {
  if (file->changes() == nullptr) {
    return true;
  }
  auto* watch = count_ < kEverybodys ? new (Always{}) Watch(task_, file, wanted, first_)
                                     : new Watch(task_, file, wanted, first_);
  if (watch == nullptr) {
    return false;
  }
  first_ = watch;
  ++count_;
  return true;
}

}  // namespace linux_server
