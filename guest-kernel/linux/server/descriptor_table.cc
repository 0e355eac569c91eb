#include "guest-kernel/linux/server/descriptor_table.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "guest-kernel/linux/server/memory_share.h"
#include "guest-kernel/linux/server/node_extras.h"
#include "guest-kernel/linux/server/process_memory.h"

namespace linux_server {
namespace {

constexpr std::uint32_t kFirstCapacity = 16;
// Tables of this many entries are everybody's right.
constexpr std::uint32_t kUsualCapacity = 256;

}  // namespace

DescriptorTable::~DescriptorTable() {
  for (std::uint32_t number = 0; number < capacity_; ++number) {
    drop(number);
  }
  lock_waits().remove_owner(this);
  delete[] entries_;
  descriptors_share.give_back(cost_of(capacity_));
}

void DescriptorTable::publish(shim::ProcessPage* page) {
  read_ahead_.end();
  if (page_ != nullptr) {
    std::memset(page_->descriptor_kinds, 0, sizeof(page_->descriptor_kinds));
  }
  page_ = may_publish_ ? page : nullptr;
  if (page != nullptr) {
    std::memset(page->descriptor_kinds, 0, sizeof(page->descriptor_kinds));
    page->read_ahead = 0;
  }
  const auto known = std::min<std::uint64_t>(capacity_, shim::kKnownDescriptors);
  for (std::uint32_t number = 0; page_ != nullptr && number < known; ++number) {
    publish_one(number);
  }
}

void DescriptorTable::never_publish() {
  publish(nullptr);
  may_publish_ = false;
}

void DescriptorTable::publish_one(std::uint32_t number) {
  if (page_ != nullptr && number < shim::kKnownDescriptors) {
    const File* file = entries_[number].file.get();
    page_->descriptor_kinds[number] = file == nullptr ? std::uint8_t{0} : file->shim_kind();
  }
}

void DescriptorTable::read_ahead(std::uint64_t descriptor, ProcessMemory& memory,
                                 std::uint64_t size) {
  const auto known = std::min<std::uint64_t>(capacity_, shim::kKnownDescriptors);
  if (page_ == nullptr || page_ != memory.shim_page || descriptor >= known ||
      !entries_[descriptor].file) {
    return;
  }
  const auto number = static_cast<std::uint32_t>(descriptor);
  if (read_ahead_.offer(*entries_[number].file, number, memory, size)) {
    page_->descriptor_kinds[number] |= shim::kIsReadAhead;
  }
}

void DescriptorTable::drop(std::uint32_t number) {
  Entry& entry = entries_[number];
  if (!entry.file) {
    return;
  }
  if (read_ahead_.is_for(number)) {
    read_ahead_.end();
  }
  if (NodeExtras* extras = entry.file->node().extras(); extras != nullptr) {
    extras->locks.release(this);
  }
  // The table is as it will be before anything else hears of it.
  const Reference<File> file = std::move(entry.file);
  first_free_ = std::min(first_free_, static_cast<std::uint32_t>(&entry - entries_));
  entry = Entry{};
  publish_one(number);
}

void DescriptorTable::set_limit(std::uint64_t limit) {
  limit_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(limit, kMaximum));
}

std::uint64_t DescriptorTable::find_free(std::uint64_t lowest) const {
  std::uint64_t number = std::max<std::uint64_t>(lowest, first_free_);
  while (number < capacity_ && entries_[number].file) {
    ++number;
  }
  return number;
}

bool DescriptorTable::has_room() const {
  return find_free(0) < limit_;
}

bool DescriptorTable::is_small() const {
  constexpr std::uint64_t kFew = 64;
  return find_free(0) < kFew;
}

Reference<File> DescriptorTable::find(std::uint64_t descriptor) const {
  return descriptor < capacity_ ? entries_[descriptor].file : Reference<File>();
}

std::uint64_t DescriptorTable::cost_of(std::uint32_t capacity) {
  return capacity <= kUsualCapacity ? 0 : capacity * sizeof(Entry);
}

bool DescriptorTable::grow(std::uint32_t capacity) {
  if (capacity <= capacity_) {
    return true;
  }
  const std::uint32_t wanted =
      std::min(std::max({capacity, capacity_ * 2, kFirstCapacity}), kMaximum);
  const std::uint64_t more = cost_of(wanted) - cost_of(capacity_);
  if (!descriptors_share.take(more)) {
    return false;
  }
  auto* entries = new Entry[wanted];
  if (entries == nullptr) {
    descriptors_share.give_back(more);
    return false;
  }
  std::move(entries_, entries_ + capacity_, entries);
  delete[] std::exchange(entries_, entries);
  capacity_ = wanted;
  return true;
}

std::int64_t DescriptorTable::add(Reference<File> file, bool close_on_exec, std::uint64_t lowest) {
  const std::uint64_t number = find_free(lowest);
  if (number >= limit_) {
    return -EMFILE;
  }
  // One that has just been opened is the caller's and the argument's.
  constexpr std::uint32_t kOwnersOfNew = 2;
  if (file->owners() <= kOwnersOfNew && open_files_share.is_scarce() && !is_small()) {
    return -ENFILE;
  }
  const std::int64_t result = put(number, std::move(file), close_on_exec);
  if (result >= 0 && lowest <= first_free_) {
    first_free_ = static_cast<std::uint32_t>(number) + 1;
  }
  return result;
}

std::int64_t DescriptorTable::put(std::uint64_t descriptor, Reference<File> file,
                                  bool close_on_exec) {
  if (descriptor >= limit_) {
    return -EBADF;
  }
  if (!grow(static_cast<std::uint32_t>(descriptor) + 1)) {
    return -ENOMEM;
  }
  drop(static_cast<std::uint32_t>(descriptor));
  entries_[descriptor].file = std::move(file);
  entries_[descriptor].close_on_exec = close_on_exec;
  publish_one(static_cast<std::uint32_t>(descriptor));
  return static_cast<std::int64_t>(descriptor);
}

Reference<DescriptorTable> DescriptorTable::copy() const {
  Reference<DescriptorTable> table(new DescriptorTable());
  std::uint32_t used = capacity_;
  while (used != 0 && !entries_[used - 1].file) {
    --used;
  }
  if (!table || !table->grow(used)) {
    return {};
  }
  std::copy(entries_, entries_ + used, table->entries_);
  table->limit_ = limit_;
  table->first_free_ = first_free_;
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
  drop(static_cast<std::uint32_t>(descriptor));
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
