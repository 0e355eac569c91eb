#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "control/daemon/listeners.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// Tells when files in directories grow or are replaced (inotify). Belongs to the event loop's
// thread.
class FolderChanges {
 public:
  // Who watches a directory, until this is destroyed.
  class Watch {
   public:
    Watch() = default;
    Watch(Watch&& other) noexcept { *this = std::move(other); }
    Watch& operator=(Watch&& other) noexcept {
      std::swap(owner_, other.owner_);
      std::swap(descriptor_, other.descriptor_);
      std::swap(id_, other.id_);
      return *this;
    }
    ~Watch();

   private:
    friend class FolderChanges;
    FolderChanges* owner_ = nullptr;
    int descriptor_ = -1;
    std::uint64_t id_ = 0;
  };

  // `loop` outlives this.
  static Result<std::unique_ptr<FolderChanges>> create(vmm::EventLoop& loop);

  // Calls `handler` after changes. The Error names the directory.
  Result<Watch> watch(const std::string& folder, std::function<void()> handler);

 private:
  explicit FolderChanges(vmm::FileDescriptor notifier) : notifier_(std::move(notifier)) {}
  void handle();

  vmm::FileDescriptor notifier_;
  vmm::FdWatch watch_;  // Destroyed before the descriptor.
  std::map<int, Listeners<>> folders_;
};

}  // namespace ensemble::control
