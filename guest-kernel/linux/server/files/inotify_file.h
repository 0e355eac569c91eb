#pragma once

#include <cstdint>
#include <string_view>

#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

class InotifyFile;

// One node that an inotify instance watches. Owned by the instance; gone when the node is.
struct Watch : Charged<watches_share> {
  InotifyFile* owner = nullptr;
  Node* node = nullptr;
  std::int32_t descriptor = 0;
  std::uint32_t mask = 0;
  Watch* next_on_node = nullptr;
  Watch* next_of_owner = nullptr;
};

// inotify(7): a queue of events.
class InotifyFile : public File {
 public:
  using File::File;
  ~InotifyFile() override;

  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::int64_t control(Task& task, std::uint64_t request, std::uint64_t argument) override;
  std::uint32_t readiness() const override {
    return first_ != nullptr ? std::uint32_t{kReadable} : 0;
  }
  bool is_seekable() const override { return false; }
  WaitQueue* changes() override { return &changed_; }
  InotifyFile* inotify() override { return this; }

  // Returns the watch's descriptor or a negative errno.
  std::int64_t add_watch(Node& node, std::uint32_t mask);
  std::int64_t remove_watch(std::int32_t descriptor);
  // Where memory runs out or too many wait to be read, an overflow is told of instead.
  void add_event(std::int32_t descriptor, std::uint32_t mask, std::uint32_t cookie,
                 std::string_view name);
  // Tells that there will be no more events of it, and deletes it.
  void end_watch(Watch& watch);

  // The bytes that wait to be read.
  std::uint64_t waiting_bytes() const;

 private:
  struct Event;

  void detach(Watch& watch);
  void append(Event& event);

  Watch* watches_ = nullptr;
  Event* first_ = nullptr;
  Event* last_ = nullptr;
  std::uint32_t count_ = 0;
  std::uint32_t watch_count_ = 0;
  std::int32_t last_descriptor_ = 0;
  bool overflown_ = false;
  WaitQueue changed_;
};

}  // namespace linux_server
