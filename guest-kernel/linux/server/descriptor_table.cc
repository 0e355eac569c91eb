#include "guest-kernel/linux/server/descriptor_table.h"

#include <algorithm>
#include <new>
#include <utility>

namespace linux_server {
namespace {

constexpr std::uint32_t kFirstCapacity = 16;

}  // namespace

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
  entries_[descriptor] = Entry{};
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
