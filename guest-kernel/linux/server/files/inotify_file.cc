#include "guest-kernel/linux/server/files/inotify_file.h"

#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <linux/inotify.h>

#include <cstddef>
#include <cstring>
#include <new>
#include <utility>

#include "guest-kernel/linux/server/node_extras.h"
#include "guest-kernel/linux/server/process.h"
#include "guest-kernel/linux/server/read_ahead.h"

namespace linux_server {
namespace {

// As Linux's defaults of /proc/sys/fs/inotify.
constexpr std::uint32_t kMaximumEvents = 16384;
constexpr std::uint32_t kMaximumWatches = 65536;

// struct inotify_event, but for its name.
struct EventHeader {
  std::int32_t wd;
  std::uint32_t mask;
  std::uint32_t cookie;
  std::uint32_t len;
};
constexpr std::uint32_t kNameUnit = sizeof(EventHeader);
constexpr std::uint32_t kWatchFlags = IN_ALL_EVENTS | IN_ONESHOT | IN_EXCL_UNLINK;

}  // namespace

struct InotifyFile::Event {
  Event* next;
  EventHeader header;
  char name[256 + kNameUnit];

  std::size_t size() const { return sizeof(header) + header.len; }
  // Without the room that the name does not need.
  static std::size_t storage(std::uint32_t name_size) { return offsetof(Event, name) + name_size; }
};

InotifyFile::~InotifyFile() {
  while (watches_ != nullptr) {
    Watch* watch = watches_;
    detach(*watch);
    delete watch;
  }
  while (Event* event = first_) {
    first_ = event->next;
    watches_share.release(event, Event::storage(event->header.len));
  }
}

// Takes a watch out of both lists.
void InotifyFile::detach(Watch& watch) {
  Watch** link = &watches_;
  while (*link != &watch) {
    link = &(*link)->next_of_owner;
  }
  *link = watch.next_of_owner;
  link = &watch.node->extras()->watches;
  while (*link != &watch) {
    link = &(*link)->next_on_node;
  }
  *link = watch.next_on_node;
  --watch_count_;
}

void InotifyFile::end_watch(Watch& watch) {
  const std::int32_t descriptor = watch.descriptor;
  detach(watch);
  delete &watch;
  add_event(descriptor, IN_IGNORED, 0, {});
}

std::int64_t InotifyFile::add_watch(Node& node, std::uint32_t mask) {
  ReadAhead::end_all();
  NodeExtras* extras = node.make_extras();
  if (extras == nullptr) {
    return -ENOMEM;
  }
  for (Watch* watch = extras->watches; watch != nullptr; watch = watch->next_on_node) {
    if (watch->owner == this) {
      if ((mask & IN_MASK_CREATE) != 0) {
        return -EEXIST;
      }
      const std::uint32_t kept = (mask & IN_MASK_ADD) != 0 ? watch->mask : 0;
      watch->mask = kept | (mask & kWatchFlags);
      return watch->descriptor;
    }
  }
  if (watch_count_ == kMaximumWatches) {
    return -ENOSPC;
  }
  auto* watch = new (std::nothrow) Watch();
  if (watch == nullptr) {
    return -ENOSPC;
  }
  watch->owner = this;
  watch->node = &node;
  watch->descriptor = ++last_descriptor_;
  watch->mask = mask & kWatchFlags;
  watch->next_on_node = std::exchange(extras->watches, watch);
  watch->next_of_owner = std::exchange(watches_, watch);
  ++watch_count_;
  return watch->descriptor;
}

std::int64_t InotifyFile::remove_watch(std::int32_t descriptor) {
  for (Watch* watch = watches_; watch != nullptr; watch = watch->next_of_owner) {
    if (watch->descriptor == descriptor) {
      end_watch(*watch);
      return 0;
    }
  }
  return -EINVAL;
}

void InotifyFile::append(Event& event) {
  event.next = nullptr;
  (last_ != nullptr ? last_->next : first_) = &event;
  last_ = &event;
  ++count_;
  changed_.wake();
}

void InotifyFile::add_event(std::int32_t descriptor, std::uint32_t mask, std::uint32_t cookie,
                            std::string_view name) {
  const auto padded =
      name.empty() ? std::uint32_t{0}
                   : (static_cast<std::uint32_t>(name.size()) + kNameUnit) & ~(kNameUnit - 1);
  // The same again says nothing.
  if (last_ != nullptr && last_->header.wd == descriptor && last_->header.mask == mask &&
      last_->header.cookie == cookie && last_->header.len == padded &&
      std::string_view(last_->name, padded == 0 ? 0 : std::strlen(last_->name)) == name) {
    return;
  }
  void* memory =
      count_ >= kMaximumEvents ? nullptr : watches_share.allocate(Event::storage(padded));
  // One event that tells of those that are lost, even if others have used up the share.
  const bool overflow = memory == nullptr;
  if (overflow && overflown_) {
    return;
  }
  const std::uint32_t name_size = overflow ? 0 : padded;
  if (overflow) {
    memory = watches_share.allocate_always(Event::storage(0));
  }
  if (memory == nullptr) {
    return;
  }
  auto* event = static_cast<Event*>(memory);
  event->header = {};
  event->header.wd = overflow ? -1 : descriptor;
  event->header.mask = overflow ? std::uint32_t{IN_Q_OVERFLOW} : mask;
  event->header.cookie = overflow ? 0 : cookie;
  event->header.len = name_size;
  std::memset(event->name, 0, name_size);
  if (name_size != 0) {
    std::memcpy(event->name, name.data(), name.size());
  }
  overflown_ = overflow;
  append(*event);
}

std::int64_t InotifyFile::read(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) {
  if (first_ == nullptr) {
    return (flags() & O_NONBLOCK) != 0 ? -EAGAIN : task.wait(changed_);
  }
  std::uint64_t done = 0;
  while (first_ != nullptr && first_->size() <= buffer.size() - done) {
    Event* event = first_;
    const auto* bytes = reinterpret_cast<const std::byte*>(&event->header);
    if (!task.process->space().write(buffer.address() + done, {bytes, event->size()})) {
      return done != 0 ? static_cast<std::int64_t>(done) : -EFAULT;
    }
    done += event->size();
    first_ = event->next;
    last_ = first_ == nullptr ? nullptr : last_;
    overflown_ = overflown_ && event->header.mask != IN_Q_OVERFLOW;
    --count_;
    watches_share.release(event, Event::storage(event->header.len));
  }
  return done != 0 ? static_cast<std::int64_t>(done) : -EINVAL;
}

std::uint64_t InotifyFile::waiting_bytes() const {
  std::uint64_t total = 0;
  for (const Event* event = first_; event != nullptr; event = event->next) {
    total += event->size();
  }
  return total;
}

std::int64_t InotifyFile::control(Task& task, std::uint64_t request, std::uint64_t argument) {
  if (request != FIONREAD) {
    return -ENOTTY;
  }
  const auto bytes = static_cast<std::uint32_t>(waiting_bytes());
  return task.process->space().write_value(argument, bytes) ? 0 : -EFAULT;
}

}  // namespace linux_server
