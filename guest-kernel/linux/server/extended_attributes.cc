#include "guest-kernel/linux/server/extended_attributes.h"

#include <asm/errno.h>

#include <cstring>
#include <new>

namespace linux_server {
namespace {

constinit std::uint64_t used = 0;

}  // namespace

MemoryAttributes::~MemoryAttributes() {
  while (first_ != nullptr) {
    Entry& entry = *first_;
    first_ = entry.next;
    end(entry);
  }
}

void MemoryAttributes::end(Entry& entry) {
  used -= entry.size();
  ::operator delete(&entry, entry.size());
}

// Where the one is linked; a null there: it is not.
MemoryAttributes::Entry** MemoryAttributes::find(std::string_view name) {
  Entry** at = &first_;
  while (*at != nullptr && (*at)->name() != name) {
    at = &(*at)->next;
  }
  return at;
}

Result<std::uint64_t> MemoryAttributes::get(std::string_view name, std::span<std::byte> to) {
  Entry* entry = *find(name);
  if (entry == nullptr) {
    return fail(ENODATA);
  }
  if (entry->value_size != 0 && entry->value_size <= to.size()) {
    std::memcpy(to.data(), entry->value().data(), entry->value_size);
  }
  return entry->value_size;
}

Result<std::uint64_t> MemoryAttributes::list(std::span<std::byte> to) {
  std::uint64_t size = 0;
  for (Entry* entry = first_; entry != nullptr; entry = entry->next) {
    size += entry->name_size + 1;
  }
  if (size > to.size()) {
    return size;
  }
  std::byte* at = to.data();
  for (Entry* entry = first_; entry != nullptr; entry = entry->next) {
    std::memcpy(at, entry->bytes(), entry->name_size);
    at[entry->name_size] = std::byte{0};
    at += entry->name_size + 1;
  }
  return size;
}

Result<void> MemoryAttributes::set(std::string_view name, std::span<const std::byte> value) {
  const std::uint64_t size = sizeof(Entry) + name.size() + value.size();
  void* memory = size > kMost - used ? nullptr : ::operator new(size, std::nothrow);
  if (memory == nullptr) {
    return fail(ENOSPC);
  }
  auto* entry = new (memory) Entry{nullptr, static_cast<std::uint32_t>(name.size()),
                                   static_cast<std::uint32_t>(value.size())};
  std::memcpy(entry->bytes(), name.data(), name.size());
  if (!value.empty()) {
    std::memcpy(entry->bytes() + name.size(), value.data(), value.size());
  }
  used += size;
  Entry** const at = find(name);
  Entry* const old = *at;
  entry->next = old != nullptr ? old->next : nullptr;
  *at = entry;
  if (old != nullptr) {
    end(*old);
  }
  return {};
}

Result<void> MemoryAttributes::remove(std::string_view name) {
  Entry** const at = find(name);
  Entry* const entry = *at;
  if (entry == nullptr) {
    return fail(ENODATA);
  }
  *at = entry->next;
  end(*entry);
  return {};
}

}  // namespace linux_server
