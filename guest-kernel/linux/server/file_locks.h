#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/growing_array.h"
#include "guest-kernel/linux/server/result.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// A lock of a range of a file, as fcntl(2) has it.
struct RecordLock {
  std::uint64_t start = 0;
  std::uint64_t last = 0;  // inclusive
  // The descriptor table of a process's lock, the open file of an OFD lock.
  const void* owner = nullptr;
  std::uint32_t process = 0;  // who took it; of no meaning with OFD locks
  bool exclusive = false;
  bool of_file = false;  // OFD
};

// The locks of one file. Record locks and flock's do not see each other.
class FileLocks {
 public:
  FileLocks() = default;
  FileLocks(const FileLocks&) = delete;
  FileLocks& operator=(const FileLocks&) = delete;
  ~FileLocks();

  // The first lock that keeps `wanted` from being had; null: none.
  const RecordLock* conflict(const RecordLock& wanted) const;
  // Takes a lock that conflicts with none, in place of what its owner has there. ENOLCK.
  Result<void> take(const RecordLock& lock);
  // Gives up what `lock.owner` has in its range. ENOLCK: no memory for two parts of one.
  Result<void> give_up(const RecordLock& lock);

  // flock(2): for `owner`, an open file. False: others' locks are in the way.
  bool may_lock_whole(const void* owner, bool exclusive) const;
  Result<void> lock_whole(const void* owner, bool exclusive);
  void unlock_whole(const void* owner);

  // All that the owner has: at its end.
  void release(const void* owner);
  // Woken when a lock is given up.
  WaitQueue& changed() { return changed_; }

 private:
  struct Whole {
    const void* owner;
    bool exclusive;
  };

  Result<void> cut(const RecordLock& range, std::size_t more);
  // What the locks take of their share of the memory.
  void account();

  GrowingArray<RecordLock> records_;
  GrowingArray<Whole> wholes_;
  WaitQueue changed_;
  std::uint64_t accounted_ = 0;
};

// Who waits for whose process-owned record lock, to find deadlocks.
class LockWaits {
 public:
  // True if `owner`, waiting for `holder`, would wait for itself in the end.
  bool would_deadlock(const void* owner, const void* holder) const;
  // A task of `owner` waits. False: no memory.
  bool add(const Task* task, const void* owner, const void* holder);
  void remove(const Task* task);
  void remove_owner(const void* owner);

 private:
  struct Wait {
    const Task* task;
    const void* owner;
    const void* holder;
  };
  GrowingArray<Wait> waits_;
};

LockWaits& lock_waits();

}  // namespace linux_server
