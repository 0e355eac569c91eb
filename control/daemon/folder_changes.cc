#include "control/daemon/folder_changes.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

namespace ensemble::control {

FolderChanges::Watch::~Watch() {
  if (owner_ == nullptr) {
    return;
  }
  const auto found = owner_->folders_.find(descriptor_);
  if (found == owner_->folders_.end()) {
    return;
  }
  found->second.remove(id_);
  if (found->second.empty()) {
    ::inotify_rm_watch(owner_->notifier_.get(), descriptor_);
    owner_->folders_.erase(found);
  }
}

Result<std::unique_ptr<FolderChanges>> FolderChanges::create(vmm::EventLoop& loop) {
  vmm::FileDescriptor notifier(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!notifier) {
    return std::unexpected(Error::from_errno("cannot watch directories", errno));
  }
  std::unique_ptr<FolderChanges> changes(new FolderChanges(std::move(notifier)));
  auto watch = loop.watch(changes->notifier_.get(), EPOLLIN,
                          [raw = changes.get()](std::uint32_t) { raw->handle(); });
  if (!watch) {
    return std::unexpected(watch.error());
  }
  changes->watch_ = std::move(*watch);
  return changes;
}

Result<FolderChanges::Watch> FolderChanges::watch(const std::string& folder,
                                                  std::function<void()> handler) {
  const int descriptor = ::inotify_add_watch(notifier_.get(), folder.c_str(),
                                             IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
  if (descriptor < 0) {
    return std::unexpected(Error::from_errno("cannot watch the directory '" + folder + "'", errno));
  }
  Watch watch;
  watch.owner_ = this;
  watch.descriptor_ = descriptor;
  watch.id_ = folders_[descriptor].add(std::move(handler));
  return watch;
}

void FolderChanges::handle() {
  alignas(inotify_event) std::array<char, 16384> buffer;
  const ssize_t count = ::read(notifier_.get(), buffer.data(), buffer.size());
  std::set<int> changed;
  for (ssize_t at = 0; at < count;) {
    inotify_event event{};
    std::memcpy(&event, buffer.data() + at, sizeof event);
    changed.insert(event.wd);
    at += static_cast<ssize_t>(sizeof event + event.len);
  }
  if (changed.contains(-1)) {  // The queue was too long: anything may have changed.
    for (const auto& [descriptor, listeners] : folders_) {
      changed.insert(descriptor);
    }
  }
  for (const int descriptor : changed) {
    if (const auto found = folders_.find(descriptor); found != folders_.end()) {
      found->second.tell();
    }
  }
}

}  // namespace ensemble::control
