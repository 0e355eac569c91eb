#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/growing_array.h"
#include "guest-kernel/linux/server/ipc/anonymous_file.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// epoll(7)'s flags beside Readiness.
inline constexpr std::uint32_t kEpollExclusive = 1u << 28;
inline constexpr std::uint32_t kEpollWakeUp = 1u << 29;
inline constexpr std::uint32_t kEpollOneShot = 1u << 30;
inline constexpr std::uint32_t kEpollEdge = 1u << 31;

struct __attribute__((packed)) EpollEvent {
  std::uint32_t events;
  std::uint64_t data;
};

class EpollItem;

// A set of open files that are waited for together. Those that may be ready are in a list, so that
// the others cost nothing.
class EpollFile : public AnonymousFile {
 public:
  EpollFile(Reference<AnonymousNode> node, std::uint32_t flags)
      : AnonymousFile(std::move(node), flags) {}
  ~EpollFile() override;

  // epoll_ctl(2). 0 or a negative errno.
  std::int64_t add(File& file, std::uint32_t descriptor, const EpollEvent& event);
  std::int64_t change(File& file, std::uint32_t descriptor, const EpollEvent& event);
  std::int64_t remove(File& file, std::uint32_t descriptor);

  // Writes up to `maximum` events to `address`. Returns how many, or -EFAULT.
  std::int64_t collect(Task& task, std::uint64_t address, std::uint64_t maximum);

  std::uint32_t readiness() const override;
  WaitQueue* changes() override { return &changed_; }
  FileKind kind() const override { return FileKind::kEpoll; }

 private:
  friend class EpollItem;

  // A search through sets that watch one another, each of which is looked at once.
  struct Walk;

  std::size_t position_of(const File& file, std::uint32_t descriptor) const;
  EpollItem* find(const File& file, std::uint32_t descriptor) const;
  void forget(EpollItem& item);
  void mark_ready(EpollItem& item);
  void link(EpollItem& item, bool in_front);
  void unlink(EpollItem& item);
  // Whether watching `inner` would close a circle or make too deep a nest.
  bool nests_too_deep(EpollFile& inner);
  unsigned height(Walk& walk);  // sets below
  unsigned depth(Walk& walk);   // sets above

  GrowingArray<EpollItem*> items_;  // by descriptor, then file
  EpollItem* first_ready_ = nullptr;
  EpollItem* last_ready_ = nullptr;
  WaitQueue changed_;
  std::uint64_t visit_ = 0;
  unsigned visit_result_ = 0;
  // What the search found that looked last whether it is ready.
  mutable std::uint64_t readiness_look_ = 0;
  mutable std::uint32_t readiness_ = 0;
};

}  // namespace linux_server
