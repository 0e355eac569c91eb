#include "guest-kernel/linux/server/notify.h"

#include <linux/inotify.h>

#include "guest-kernel/linux/server/files/inotify_file.h"
#include "guest-kernel/linux/server/node_extras.h"

namespace linux_server {
namespace {

// Told even though nobody asked for them.
constexpr std::uint32_t kFlags = IN_ISDIR;

void tell(Node& watched, std::uint32_t event, std::string_view name, std::uint32_t cookie) {
  if (watched.extras() == nullptr) {
    return;
  }
  Watch* next = nullptr;
  for (Watch* watch = watched.extras()->watches; watch != nullptr; watch = next) {
    next = watch->next_on_node;
    if ((watch->mask & event & ~kFlags) == 0) {
      continue;
    }
    watch->owner->add_event(watch->descriptor, event, cookie, name);
    if ((watch->mask & IN_ONESHOT) != 0) {
      watch->owner->end_watch(*watch);
    }
  }
}

}  // namespace

void notify_self(Node& node, std::uint32_t event) {
  if (node.extras() != nullptr) {
    const bool marked = node.is_directory() && event != IN_MOVE_SELF;
    tell(node, event | (marked ? std::uint32_t{IN_ISDIR} : 0), {}, 0);
  }
}

void notify(Node& node, std::uint32_t event) {
  if (node.parent() != nullptr && !node.is_removed()) {
    notify_entry(*node.parent(), event | (node.is_directory() ? std::uint32_t{IN_ISDIR} : 0),
                 node.name());
  }
  notify_self(node, event);
}

void notify_entry(Node& directory, std::uint32_t event, std::string_view name,
                  std::uint32_t cookie) {
  tell(directory, event, name, cookie);
}

void end_watches(Node& node) {
  if (node.extras()->watches != nullptr && node.is_removed()) {
    tell(node, IN_DELETE_SELF, {}, 0);
  }
  while (Watch* watch = node.extras()->watches) {
    watch->owner->end_watch(*watch);
  }
}

}  // namespace linux_server
