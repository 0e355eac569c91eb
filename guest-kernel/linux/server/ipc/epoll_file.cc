#include "guest-kernel/linux/server/ipc/epoll_file.h"

#include <algorithm>

#include "guest-kernel/linux/server/ipc/poll_readiness.h"
#include "guest-kernel/linux/server/process.h"

namespace linux_server {

// One watched file.
class EpollItem final : public Charged<watches_share>, private WaitObserver, private FileWatch {
 public:
  EpollItem(EpollFile& owner, File& file, std::uint32_t descriptor, const EpollEvent& event)
      : owner_(owner), descriptor_(descriptor), event_(event) {
    watch(file);
    observe(*file.changes());
  }

  File& file() const { return *watched(); }
  std::uint32_t descriptor() const { return descriptor_; }
  EpollEvent& event() { return event_; }
  std::uint64_t data() const { return event_.data; }
  std::uint32_t ready_events() const { return poll_readiness(file()) & wanted(); }
  // A file that is only touched to be compared: it may be on its way out.
  const File* identity() const { return watched(); }

 private:
  friend class EpollFile;

  static constexpr std::uint32_t kFlags =
      kEpollExclusive | kEpollWakeUp | kEpollOneShot | kEpollEdge;

  // One that was told once and is not armed again wants nothing.
  std::uint32_t wanted() const {
    const std::uint32_t events = event_.events & ~kFlags;
    return disarmed_ ? 0 : events | kAlwaysPolled;
  }
  void woken(std::uint32_t events) override {
    if ((widen_readiness(events) & wanted()) != 0) {
      owner_.mark_ready(*this);
    }
  }
  void file_is_gone() override { owner_.forget(*this); }
  File& watcher() override { return owner_; }

  EpollFile& owner_;
  std::uint32_t descriptor_;
  EpollEvent event_;
  bool disarmed_ = false;
  bool is_ready_ = false;
  EpollItem* next_ready_ = nullptr;
  EpollItem* previous_ready_ = nullptr;
};

struct EpollFile::Walk {
  const EpollFile* target;
  std::uint64_t number;
  bool found = false;
};

namespace {

constexpr unsigned kMaximumNest = 5;
constinit std::uint64_t last_walk = 0;

// A look at whether sets are ready, which asks each that it comes to once: by way of others there
// may be very many ways to it.
class ReadinessLook {
 public:
  ReadinessLook() { number_ += depth_++ == 0 ? 1 : 0; }
  ReadinessLook(const ReadinessLook&) = delete;
  ReadinessLook& operator=(const ReadinessLook&) = delete;
  ~ReadinessLook() { --depth_; }
  std::uint64_t number() const { return number_; }

 private:
  static constinit inline std::uint64_t number_ = 0;
  static constinit inline unsigned depth_ = 0;
};

}  // namespace

EpollFile::~EpollFile() {
  for (EpollItem* item : items_) {
    delete item;
  }
}

std::size_t EpollFile::position_of(const File& file, std::uint32_t descriptor) const {
  const auto* place = std::lower_bound(
      items_.begin(), items_.end(), descriptor, [&file](EpollItem* item, std::uint32_t number) {
        return item->descriptor() != number ? item->descriptor() < number
                                            : item->identity() < &file;
      });
  return static_cast<std::size_t>(place - items_.begin());
}

EpollItem* EpollFile::find(const File& file, std::uint32_t descriptor) const {
  const std::size_t index = position_of(file, descriptor);
  return index < items_.size() && items_[index]->descriptor() == descriptor &&
                 items_[index]->identity() == &file
             ? items_[index]
             : nullptr;
}

void EpollFile::link(EpollItem& item, bool in_front) {
  item.is_ready_ = true;
  item.previous_ready_ = in_front ? nullptr : last_ready_;
  item.next_ready_ = in_front ? first_ready_ : nullptr;
  (item.previous_ready_ != nullptr ? item.previous_ready_->next_ready_ : first_ready_) = &item;
  (item.next_ready_ != nullptr ? item.next_ready_->previous_ready_ : last_ready_) = &item;
}

void EpollFile::unlink(EpollItem& item) {
  if (!item.is_ready_) {
    return;
  }
  (item.previous_ready_ != nullptr ? item.previous_ready_->next_ready_ : first_ready_) =
      item.next_ready_;
  (item.next_ready_ != nullptr ? item.next_ready_->previous_ready_ : last_ready_) =
      item.previous_ready_;
  item.next_ready_ = item.previous_ready_ = nullptr;
  item.is_ready_ = false;
}

void EpollFile::forget(EpollItem& item) {
  unlink(item);
  // Its file is no longer known, so it is looked for by itself.
  const auto* place = std::find(items_.begin(), items_.end(), &item);
  const auto index = static_cast<std::size_t>(place - items_.begin());
  items_.erase(index, index + 1);
  delete &item;
}

void EpollFile::mark_ready(EpollItem& item) {
  if (!item.is_ready_) {
    link(item, false);
  }
  changed_.wake(kReadable);
}

unsigned EpollFile::height(Walk& walk) {
  walk.found = walk.found || this == walk.target;
  if (visit_ == walk.number || walk.found) {
    return visit_result_;
  }
  visit_ = walk.number;
  visit_result_ = 0;
  for (EpollItem* item : items_) {
    if (item->file().kind() == FileKind::kEpoll) {
      visit_result_ =
          std::max(visit_result_, static_cast<EpollFile&>(item->file()).height(walk) + 1);
    }
  }
  return visit_result_;
}

unsigned EpollFile::depth(Walk& walk) {
  if (visit_ == walk.number) {
    return visit_result_;
  }
  visit_ = walk.number;
  visit_result_ = 0;
  for (FileWatch* each = FileWatch::first(*this); each != nullptr; each = each->next()) {
    visit_result_ =
        std::max(visit_result_, static_cast<EpollFile&>(each->watcher()).depth(walk) + 1);
  }
  return visit_result_;
}

bool EpollFile::nests_too_deep(EpollFile& inner) {
  Walk down = {this, ++last_walk};
  const unsigned below = inner.height(down);
  Walk up = {nullptr, ++last_walk};
  return down.found || below + depth(up) + 2 > kMaximumNest;
}

std::int64_t EpollFile::add(File& file, std::uint32_t descriptor, const EpollEvent& event) {
  const bool is_set = file.kind() == FileKind::kEpoll;
  if ((event.events & kEpollExclusive) != 0) {
    constexpr std::uint32_t kAllowed =
        kReadable | kWritable | kError | kHangUp | kEpollWakeUp | kEpollEdge | kEpollExclusive;
    if ((event.events & ~kAllowed) != 0 || is_set) {
      return -EINVAL;
    }
  }
  if (find(file, descriptor) != nullptr) {
    return -EEXIST;
  }
  if (is_set && nests_too_deep(static_cast<EpollFile&>(file))) {
    return -ELOOP;
  }
  if (!watches_share.has(sizeof(EpollItem))) {
    return -ENOSPC;
  }
  if (!items_.reserve(items_.size() + 1)) {
    return -ENOMEM;
  }
  auto* item = new EpollItem(*this, file, descriptor, event);
  if (item == nullptr || !items_.insert(position_of(file, descriptor), item)) {
    return -ENOMEM;  // only the first can be
  }
  if (item->ready_events() != 0) {
    mark_ready(*item);
  }
  return 0;
}

std::int64_t EpollFile::change(File& file, std::uint32_t descriptor, const EpollEvent& event) {
  EpollItem* const item = find(file, descriptor);
  if ((event.events & kEpollExclusive) != 0) {
    return -EINVAL;
  }
  if (item == nullptr) {
    return -ENOENT;
  }
  if ((item->event().events & kEpollExclusive) != 0) {
    return -EINVAL;
  }
  item->event() = event;
  item->disarmed_ = false;
  if (item->ready_events() != 0) {
    mark_ready(*item);
  }
  return 0;
}

std::int64_t EpollFile::remove(File& file, std::uint32_t descriptor) {
  EpollItem* const item = find(file, descriptor);
  if (item == nullptr) {
    return -ENOENT;
  }
  forget(*item);
  return 0;
}

std::int64_t EpollFile::collect(Task& task, std::uint64_t address, std::uint64_t maximum) {
  std::uint64_t count = 0;
  // Those that stay ready go to the end of the list, so that none starves; each is looked at once.
  const ReadinessLook look;
  EpollItem* const last = last_ready_;
  bool is_last = last == nullptr;
  while (count < maximum && !is_last) {
    EpollItem& item = *first_ready_;
    is_last = &item == last;
    unlink(item);
    const std::uint32_t ready = item.ready_events();
    if (ready == 0) {
      continue;
    }
    const EpollEvent event = {ready, item.data()};
    if (!task.process->space().write_value(address + count * sizeof(event), event)) {
      link(item, true);
      return count != 0 ? static_cast<std::int64_t>(count) : -EFAULT;
    }
    ++count;
    if ((item.event().events & kEpollOneShot) != 0) {
      item.disarmed_ = true;
    } else if ((item.event().events & kEpollEdge) == 0) {
      link(item, false);
    }
  }
  return static_cast<std::int64_t>(count);
}

std::uint32_t EpollFile::readiness() const {
  const ReadinessLook look;
  if (readiness_look_ == look.number()) {
    return readiness_;
  }
  readiness_look_ = look.number();
  readiness_ = 0;
  for (const EpollItem* item = first_ready_; item != nullptr && readiness_ == 0;
       item = item->next_ready_) {
    readiness_ = item->ready_events() != 0 ? std::uint32_t{kReadable} : 0;
  }
  return readiness_;
}

}  // namespace linux_server
