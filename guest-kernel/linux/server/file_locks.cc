#include "guest-kernel/linux/server/file_locks.h"

#include <algorithm>
#include <new>
#include <utility>

#include "guest-kernel/linux/server/memory_share.h"

namespace linux_server {
namespace {

bool overlaps(const RecordLock& first, const RecordLock& second) {
  return first.start <= second.last && second.start <= first.last;
}

// Never destroyed: the server does not end.
alignas(LockWaits) std::byte waits_memory[sizeof(LockWaits)];

}  // namespace

LockWaits& lock_waits() {
  return *std::launder(reinterpret_cast<LockWaits*>(waits_memory));
}

FileLocks::~FileLocks() {
  locks_share.give_back(accounted_);
}

void FileLocks::account() {
  if (records_.empty()) {
    records_.reset();
  }
  if (wholes_.empty()) {
    wholes_.reset();
  }
  const std::uint64_t size =
      records_.capacity() * sizeof(RecordLock) + wholes_.capacity() * sizeof(Whole);
  locks_share.exchange(std::exchange(accounted_, size), size);
}

const RecordLock* FileLocks::conflict(const RecordLock& wanted) const {
  const auto found = std::find_if(records_.begin(), records_.end(), [&](const RecordLock& each) {
    return each.owner != wanted.owner && overlaps(each, wanted) &&
           (each.exclusive || wanted.exclusive);
  });
  return found == records_.end() ? nullptr : found;
}

// Takes the range away from what its owner has, which may leave parts on both sides, and makes room
// for `more` locks.
Result<void> FileLocks::cut(const RecordLock& range, std::size_t more) {
  // Room first, so that nothing is half-done: one lock at most falls into two. Who only gives up a
  // lock as it is needs none.
  more += static_cast<std::size_t>(
      std::any_of(records_.begin(), records_.end(), [&](const RecordLock& each) {
        return each.owner == range.owner && each.start < range.start && each.last > range.last;
      }));
  const bool grows = records_.size() + more > records_.capacity();
  if (grows &&
      (!locks_share.has(more * sizeof(RecordLock)) || !records_.reserve(records_.size() + more))) {
    return fail(ENOLCK);
  }
  for (std::size_t index = 0; index < records_.size();) {
    RecordLock& each = records_[index];
    if (each.owner != range.owner || !overlaps(each, range)) {
      ++index;
      continue;
    }
    const RecordLock old = each;
    if (old.start < range.start) {
      each.last = range.start - 1;
      ++index;
    } else {
      records_.erase(index, index + 1);
    }
    if (old.last > range.last) {
      RecordLock rest = old;
      rest.start = range.last + 1;
      static_cast<void>(records_.insert(index, rest));
      ++index;
    }
  }
  return {};
}

Result<void> FileLocks::take(const RecordLock& lock) {
  if (const auto made = cut(lock, 1); !made) {
    return made;
  }
  RecordLock merged = lock;
  for (std::size_t index = 0; index < records_.size();) {
    const RecordLock& each = records_[index];
    const bool touches = (each.last != ~std::uint64_t{0} && each.last + 1 == merged.start) ||
                         (merged.last != ~std::uint64_t{0} && merged.last + 1 == each.start);
    if (each.owner == merged.owner && each.exclusive == merged.exclusive && touches) {
      merged.start = std::min(merged.start, each.start);
      merged.last = std::max(merged.last, each.last);
      records_.erase(index, index + 1);
      index = 0;
    } else {
      ++index;
    }
  }
  const auto place = std::find_if(records_.begin(), records_.end(), [&](const RecordLock& each) {
    return each.start > merged.start;
  });
  // cut() has made room.
  static_cast<void>(records_.insert(static_cast<std::size_t>(place - records_.begin()), merged));
  account();
  // An exclusive lock may have become a shared one.
  changed_.wake();
  return {};
}

Result<void> FileLocks::give_up(const RecordLock& lock) {
  const auto made = cut(lock, 0);
  account();
  changed_.wake();
  return made;
}

bool FileLocks::may_lock_whole(const void* owner, bool exclusive) const {
  return std::none_of(wholes_.begin(), wholes_.end(), [&](const Whole& each) {
    return each.owner != owner && (each.exclusive || exclusive);
  });
}

Result<void> FileLocks::lock_whole(const void* owner, bool exclusive) {
  const auto found = std::find_if(wholes_.begin(), wholes_.end(),
                                  [&](const Whole& each) { return each.owner == owner; });
  if (found != wholes_.end()) {
    found->exclusive = exclusive;
    changed_.wake();
    return {};
  }
  if (!locks_share.has(sizeof(Whole)) || !wholes_.push_back({owner, exclusive})) {
    return fail(ENOLCK);
  }
  account();
  return {};
}

void FileLocks::unlock_whole(const void* owner) {
  const auto found = std::find_if(wholes_.begin(), wholes_.end(),
                                  [&](const Whole& each) { return each.owner == owner; });
  if (found != wholes_.end()) {
    const auto index = static_cast<std::size_t>(found - wholes_.begin());
    wholes_.erase(index, index + 1);
    account();
    changed_.wake();
  }
}

void FileLocks::release(const void* owner) {
  bool any = false;
  for (std::size_t index = records_.size(); index-- != 0;) {
    if (records_[index].owner == owner) {
      records_.erase(index, index + 1);
      any = true;
    }
  }
  unlock_whole(owner);
  if (any) {
    account();
    changed_.wake();
  }
}

bool LockWaits::would_deadlock(const void* owner, const void* holder) const {
  // Each owner is looked at once at most, so that a ring of others does not hold us up.
  for (std::size_t steps = 0; steps <= waits_.size(); ++steps) {
    if (holder == owner) {
      return true;
    }
    const auto next = std::find_if(waits_.begin(), waits_.end(),
                                   [&](const Wait& each) { return each.owner == holder; });
    if (next == waits_.end()) {
      return false;
    }
    holder = next->holder;
  }
  return false;
}

bool LockWaits::add(const Task* task, const void* owner, const void* holder) {
  remove(task);
  return waits_.push_back({task, owner, holder});
}

void LockWaits::remove(const Task* task) {
  const auto found = std::find_if(waits_.begin(), waits_.end(),
                                  [&](const Wait& each) { return each.task == task; });
  if (found != waits_.end()) {
    const auto index = static_cast<std::size_t>(found - waits_.begin());
    waits_.erase(index, index + 1);
  }
}

void LockWaits::remove_owner(const void* owner) {
  for (std::size_t index = waits_.size(); index-- != 0;) {
    if (waits_[index].owner == owner) {
      waits_.erase(index, index + 1);
    }
  }
}

}  // namespace linux_server
