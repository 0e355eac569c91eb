#include "guest-kernel/linux/server/descriptor_table.h"

#include <algorithm>
#include <new>
#include <utility>

#include "guest-kernel/linux/server/node_extras.h"

namespace linux_server {
namespace {

constexpr std::uint32_t kFirstCapacity = 16;

}  // namespace

DescriptorTable::~DescriptorTable() {
  for (std::uint32_t number = 0; number < capacity_; ++number) {
    drop(entries_[number]);
  }
  lock_waits().remove_owner(this);
  delete[] entries_;
}

void DescriptorTable::drop(Entry& entry) {
  if (!entry.file) {
    return;
  }
  if (NodeExtras* extras = entry.file->node().extras(); extras != nullptr) {
    extras->locks.release(this);
  }
  // The table is as it will be before anything else hears of it.
  const Reference<File> file = std::move(entry.file);
  entry = Entry{};
}

bool DescriptorTable::has_room() const {
  return capacity_ < kMaximum ||
         std::any_of(entries_, entries_ + capacity_, [](const Entry& each) { return !each.file; });
}

Reference<File> DescriptorTable::find(std::uint64_t descriptor) const {
  return descriptor < capacity_ ? entries_[descriptor].file : Reference<File>();
}

bool DescriptorTable::grow(std::uint32_t capacity) {
  if (capacity <= capacity_) {
    return true;
  }
  const std::uint32_t wanted =
      std::min(std::max({capacity, capacity_ * 2, kFirstCapacity}), kMaximum);
  auto* entries = new Entry[wanted];
  if (entries == nullptr) {
    return false;
  }
  std::move(entries_, entries_ + capacity_, entries);
  delete[] std::exchange(entries_, entries);
  capacity_ = wanted;
  return true;
}

std::int64_t DescriptorTable::add(Reference<File> file, bool close_on_exec, std::uint64_t lowest) {
  for (std::uint64_t number = lowest; number < kMaximum; ++number) {
    if (number >= capacity_ || !entries_[number].file) {
      return put(number, std::move(file), close_on_exec);
    }
  }
  return -EMFILE;
}

std::int64_t DescriptorTable::put(std::uint64_t descriptor, Reference<File> file,
                                  bool close_on_exec) {
  if (descriptor >= kMaximum) {
    return -EBADF;
  }
  if (!grow(static_cast<std::uint32_t>(descriptor) + 1)) {
    return -ENOMEM;
  }
  drop(entries_[descriptor]);
  entries_[descriptor].file = std::move(file);
  entries_[descriptor].close_on_exec = close_on_exec;
  return static_cast<std::int64_t>(descriptor);
}

Reference<DescriptorTable> DescriptorTable::copy() const {
  Reference<DescriptorTable> table(new DescriptorTable());
  if (!table || !table->grow(capacity_)) {
    return {};
  }
  std::copy(entries_, entries_ + capacity_, table->entries_);
  return table;
}

void DescriptorTable::close_for_exec() {
  for (std::uint32_t number = 0; number < capacity_; ++number) {
    if (entries_[number].close_on_exec) {
      close(number);
    }
  }
}

bool DescriptorTable::close(std::uint64_t descriptor) {
  if (descriptor >= capacity_ || !entries_[descriptor].file) {
    return false;
  }
  drop(entries_[descriptor]);
  return true;
}

bool DescriptorTable::close_on_exec(std::uint64_t descriptor) const {
  return descriptor < capacity_ && entries_[descriptor].close_on_exec;
}

void DescriptorTable::set_close_on_exec(std::uint64_t descriptor, bool value) {
  if (descriptor < capacity_) {
    entries_[descriptor].close_on_exec = value;
  }
}

}  // namespace linux_server
