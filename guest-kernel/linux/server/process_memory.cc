#include "guest-kernel/linux/server/process_memory.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/system_name.h"

namespace linux_server {
namespace {

using guest::Slot;
using guest::Status;

// Kernel memory that a native program gets where there is not what it wants.
constexpr std::uint64_t kSmallKernelPages = 48;

constexpr unsigned kKindBits = 8;
constexpr unsigned kIndexBits = 16;

constinit std::array<ProcessMemory*, ProcessMemory::kMaximum> memories = {};
constinit std::uint64_t next_generation = 1;

std::uint64_t badge_of(std::uint64_t id, BadgeKind kind) {
  return id << kKindBits | static_cast<std::uint64_t>(kind);
}

}  // namespace

ProcessMemory::ProcessMemory(Slot domain, std::uint64_t id, bool native)
    : domain_(domain),
      id_(id),
      native_(native),
      space_(domain, server().root_region(), server().archive()) {}

ProcessMemory* ProcessMemory::find(std::uint64_t badge) {
  const std::uint64_t id = badge >> kKindBits;
  const std::uint64_t index = id & ((1 << kIndexBits) - 1);
  ProcessMemory* memory = index < kMaximum ? memories[index] : nullptr;
  return memory != nullptr && memory->id_ == id ? memory : nullptr;
}

std::span<ProcessMemory* const> ProcessMemory::all() {
  return memories;
}

Result<Reference<ProcessMemory>> ProcessMemory::create(const Shape& shape) {
  const auto place = std::find(memories.begin(), memories.end(), nullptr);
  const Slot domain = server().allocate_slot();
  if (place == memories.end() || domain == guest::kNoSlot) {
    server().release_slot(domain);
    return fail(EAGAIN);
  }
  Status status = guest::create_domain(domain, shape.slots, shape.kernel_pages, shape.limits);
  if (status != Status::kOk && shape.kernel_pages > kSmallKernelPages) {
    status = guest::create_domain(domain, shape.slots, kSmallKernelPages, shape.limits);
  }
  if (status != Status::kOk) {
    server().release_slot(domain);
    return fail(ENOMEM);
  }
  const auto index = static_cast<std::uint64_t>(place - memories.begin());
  auto* memory = new ProcessMemory(domain, next_generation << kIndexBits | index, shape.native);
  if (memory == nullptr) {
    guest::end_domain(domain);
    server().delete_slot(domain);
    return fail(ENOMEM);
  }
  ++next_generation;
  *place = memory;
  Reference<ProcessMemory> reference(memory);
  if (memory->connect(shape.port) != Status::kOk) {
    return fail(ENOMEM);
  }
  return reference;
}

ProcessMemory::~ProcessMemory() {
  if (auto& place = memories[id_ & ((1 << kIndexBits) - 1)]; place == this) {
    place = nullptr;
  }
  // The domain goes first: nothing of it runs or is mapped any more when its memory is freed.
  guest::end_domain(domain_);
  server().delete_slot(domain_);
  if (granted_size != 0) {
    memory_pool().free(granted_offset, granted_size);
  }
}

Status ProcessMemory::connect(Slot port) {
  const Slot own = server().info().slot_of(guest::Role::kOwnPort);
  const Slot fault = server().allocate_slot();
  Status status =
      guest::copy_capability(domain_, port, own, abi::kRightCall,
                             badge_of(id_, native_ ? BadgeKind::kNativeCall : BadgeKind::kCall));
  if (status == Status::kOk) {
    status = guest::copy_capability(abi::kSelfSlot, fault, own, abi::kRightCall,
                                    badge_of(id_, BadgeKind::kFault));
  }
  if (status == Status::kOk && !native_) {
    // A Linux program has no business with its domain: it could start threads above the server's
    // priority.
    status = guest::delete_capability(domain_, abi::kSelfSlot);
  }
  if (status == Status::kOk) {
    status = guest::set_fault_port(domain_, fault);
    server().delete_slot(fault);
  } else {
    server().release_slot(fault);
  }
  return status;
}

Result<ProcessMemory::ThreadPageOfTask> ProcessMemory::take_thread_page() {
  std::uint64_t address = 0;
  if (!free_thread_pages_.empty()) {
    address = free_thread_pages_[free_thread_pages_.size() - 1];
    free_thread_pages_.erase(free_thread_pages_.size() - 1, free_thread_pages_.size());
  } else {
    // Room to give it back later.
    const std::uint64_t used = (next_thread_page_ - shim::kThreadPages) / abi::kPageSize;
    if (used >= shim::kMaximumThreadPages || !free_thread_pages_.reserve(used + 2)) {
      return fail(EAGAIN);
    }
    if (const auto added = space_.add_thread_page(next_thread_page_); !added) {
      return std::unexpected(added.error());
    }
    address = next_thread_page_;
    next_thread_page_ += abi::kPageSize;
  }
  return find_thread_page(address);
}

void ProcessMemory::return_thread_page(const ThreadPageOfTask& page) {
  if (free_thread_pages_.reserve(free_thread_pages_.size() + 1)) {
    static_cast<void>(free_thread_pages_.push_back(page.address));
  }
}

Result<ProcessMemory::ThreadPageOfTask> ProcessMemory::find_thread_page(std::uint64_t address) {
  const auto window = space_.window(address, abi::kPageSize, Access::kWrite);
  if (!window || window->size() < abi::kPageSize) {
    return fail(ENOMEM);
  }
  next_thread_page_ = address >= next_thread_page_ && address < shim::kStackTop
                          ? address + abi::kPageSize
                          : next_thread_page_;
  return ThreadPageOfTask{address, reinterpret_cast<shim::ThreadPage*>(window->data())};
}

Result<void> ProcessMemory::find_shim_page() {
  const auto window = space_.window(shim::kProcessPage, abi::kPageSize, Access::kWrite);
  if (!window) {
    return std::unexpected(window.error());
  }
  shim_page = reinterpret_cast<shim::ProcessPage*>(window->data());
  return {};
}

std::span<std::byte> ProcessMemory::read_ahead_buffer() {
  if (read_ahead_buffer_.empty() && memory_pool().is_plentiful(shim::kReadAheadSize) &&
      space_.add_read_ahead_buffer()) {
    const auto window = space_.window(shim::kReadAheadBuffer, shim::kReadAheadSize, Access::kWrite);
    read_ahead_buffer_ = window ? *window : std::span<std::byte>();
  }
  return read_ahead_buffer_;
}

void ProcessMemory::publish_system_name() {
  if (shim_page != nullptr) {
    std::memcpy(shim_page->system_name, &system_name(), sizeof(shim_page->system_name));
  }
}

void ProcessMemory::publish_heap() {
  if (shim_page != nullptr) {
    shim_page->heap_end = space_.heap_end();
    shim_page->heap_limit = space_.heap_limit();
  }
}

}  // namespace linux_server
