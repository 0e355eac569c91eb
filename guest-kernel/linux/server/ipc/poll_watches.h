#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/reference.h"

namespace linux_server {

// The open files that a poll(2) or select(2) waits for: its task makes the call again when one of
// them changes in a way that it asked for. Kept in Task::watches while the call is blocked.
class PollWatches final : public Counted {
 public:
  explicit PollWatches(Task& task) : task_(task) {}
  ~PollWatches() override;

  // `wanted`: Readiness, as the caller named it. False: no memory.
  bool add(const Reference<File>& file, std::uint32_t wanted);

 private:
  class Watch;

  Task& task_;
  Watch* first_ = nullptr;
  std::uint32_t count_ = 0;
};

}  // namespace linux_server
