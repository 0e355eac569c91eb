// What the nodes need of the server, which is not here: memory, a clock, programs' memory.

#include <array>
#include <cstdlib>
#include <cstring>

#include "guest-kernel/linux/server/file_mappings.h"
#include "guest-kernel/linux/server/files/device_files.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/path.h"
#include "guest-kernel/linux/server/process.h"
#include "guest-kernel/linux/server/process_memory.h"
#include "tests/guest-kernel/linux/test_memory.h"

namespace linux_server {
namespace {

constexpr std::uint64_t kPoolSize = std::uint64_t{16} << 20;
std::int64_t now = 1'000'000'000;

std::byte* pool_memory() {
  // Zeroed, as the allocator takes fresh memory to be; the sanitizer's malloc fills it.
  static auto* memory =
      static_cast<std::byte*>(std::memset(std::aligned_alloc(2 << 20, kPoolSize), 0, kPoolSize));
  return memory;
}

}  // namespace

// A pool of the host's memory.
bool MemoryPool::create(const guest::StartInfo& /*info*/, MemoryPool& pool) {
  pool.size_ = pool.mapped_ = kPoolSize;
  pool.address_ = reinterpret_cast<std::uint64_t>(pool_memory());
  pool.allocator_.emplace(pool_memory(), kPoolSize, 0);
  return true;
}
std::uint64_t MemoryPool::allocate(std::uint64_t size) {
  return allocator_->allocate(size);
}
std::byte* MemoryPool::at(std::uint64_t offset) const {
  return reinterpret_cast<std::byte*>(address_ + offset);
}
MemoryPool& memory_pool() {
  static MemoryPool pool;
  static const bool made = MemoryPool::create(guest::StartInfo{}, pool);
  static_cast<void>(made);
  return pool;
}

std::int64_t file_time() {
  return now;
}
void set_file_time(std::int64_t time) {
  now = time;
}

Result<Reference<File>> open_special(Node& /*node*/, std::uint32_t /*flags*/, Process& /*opener*/) {
  return fail(ENXIO);
}
bool is_mapped_writable(const Node& /*file*/) {
  return false;
}
std::span<std::byte> ProcessMemory::read_ahead_buffer() {
  return {};
}
bool may_search(const Process& /*process*/, const Node& /*directory*/) {
  return true;
}
void forget_mapped_pages(const Node& /*file*/, std::uint64_t /*first*/, std::uint64_t /*last*/,
                         bool /*copies*/) {}
Result<void> AddressSpace::write(std::uint64_t /*address*/, std::span<const std::byte> /*from*/) {
  return fail(EFAULT);
}
std::int64_t UserBuffer::fill(std::span<const std::byte> /*from*/, std::uint64_t /*offset*/) const {
  return -EFAULT;
}
std::span<std::byte> UserBuffer::piece(std::uint64_t /*offset*/, Access /*access*/) const {
  return {};
}

}  // namespace linux_server

// The server keeps its tree of names for as long as it lives, and so do its tests: LeakSanitizer
// has nothing to say about it.
extern "C" int __lsan_is_turned_off() {  // NOLINT(bugprone-reserved-identifier): its name
  return 1;
}
