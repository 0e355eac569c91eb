#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "guest-kernel/linux/server/result.h"

namespace linux_server {

// The extended attributes of one node (xattr(7)), by their whole names.
class AttributeStore {
 public:
  // The value's size, which may be more than `to` has: then nothing is copied. ENODATA.
  virtual Result<std::uint64_t> get(std::string_view name, std::span<std::byte> to) = 0;
  // Names, a zero after each; their size, as get() has it.
  virtual Result<std::uint64_t> list(std::span<std::byte> to) = 0;
  // ENOSPC.
  virtual Result<void> set(std::string_view name, std::span<const std::byte> value) = 0;
  // ENODATA.
  virtual Result<void> remove(std::string_view name) = 0;

 protected:
  ~AttributeStore() = default;
};

// Those of a node in memory. All nodes together have so much and no more.
class MemoryAttributes final : public AttributeStore {
 public:
  static constexpr std::uint64_t kMost = std::uint64_t{1} << 20;  // bytes, of all nodes

  MemoryAttributes() = default;
  MemoryAttributes(const MemoryAttributes&) = delete;
  MemoryAttributes& operator=(const MemoryAttributes&) = delete;
  ~MemoryAttributes();

  Result<std::uint64_t> get(std::string_view name, std::span<std::byte> to) override;
  Result<std::uint64_t> list(std::span<std::byte> to) override;
  Result<void> set(std::string_view name, std::span<const std::byte> value) override;
  Result<void> remove(std::string_view name) override;

 private:
  // The name and the value follow.
  struct Entry {
    Entry* next;
    std::uint32_t name_size;
    std::uint32_t value_size;

    std::byte* bytes() { return reinterpret_cast<std::byte*>(this + 1); }
    std::string_view name() { return {reinterpret_cast<const char*>(bytes()), name_size}; }
    std::span<const std::byte> value() { return {bytes() + name_size, value_size}; }
    std::uint64_t size() const { return sizeof(Entry) + name_size + value_size; }
  };

  Entry** find(std::string_view name);
  static void end(Entry& entry);

  Entry* first_ = nullptr;
};

}  // namespace linux_server
