#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "guest-kernel/lib/system_call.h"
#include "guest-kernel/linux/server/address_space.h"
#include "guest-kernel/linux/server/growing_array.h"
#include "guest-kernel/linux/server/reference.h"
#include "guest-kernel/linux/shim/layout.h"

namespace linux_server {

// A protection domain with its addresses: what the threads of a process run in, and the child of a
// vfork(2) until it calls exec.
class ProcessMemory : public Counted {
 public:
  static constexpr std::size_t kMaximum = shim::kMaximumProcessMemories;

  struct Shape {
    std::uint64_t slots = 16;
    guest::Slot port = shim::kServerPort;  // where the domain finds the way to the server
    bool native = false;
    // 0: what it needs is charged to the server, which is right for a domain that cannot spend any.
    std::uint64_t kernel_pages = 0;
    guest::DomainLimits limits = {};
  };

  // An empty domain whose calls and faults arrive at the server. EAGAIN, ENOMEM.
  static Result<Reference<ProcessMemory>> create(const Shape& shape);
  // The one whose capability carries `badge`; null: it has ended.
  static ProcessMemory* find(std::uint64_t badge);
  // All there are; some places are empty.
  static std::span<ProcessMemory* const> all();
  ~ProcessMemory() override;

  guest::Slot domain() const { return domain_; }
  AddressSpace& space() { return space_; }
  const AddressSpace& space() const { return space_; }
  bool native() const { return native_; }

  // A page for a thread's shim, zeroed but for what it held before.
  struct ThreadPageOfTask {
    std::uint64_t address = 0;
    shim::ThreadPage* view = nullptr;  // the server's
  };
  Result<ThreadPageOfTask> take_thread_page();
  void return_thread_page(const ThreadPageOfTask& page);
  // The page at the address in a copy of another space.
  Result<ThreadPageOfTask> find_thread_page(std::uint64_t address);
  // Sets shim_page to this space's own after it was copied.
  Result<void> find_shim_page();

  // The server's view of what is at shim::kReadAheadBuffer, made when it is first wanted. Empty:
  // there is not much memory left.
  std::span<std::byte> read_ahead_buffer();

  // Tells the shim where the heap ends.
  void publish_heap();
  // Tells it what uname(2) says.
  void publish_system_name();

  // membarrier(2)'s registrations.
  std::uint32_t barriers = 0;

  shim::ProcessPage* shim_page = nullptr;  // the server's view; null: a native program

  // Of a native program: its output page, and the memory that it got as a capability, as offsets in
  // the memory pool.
  std::uint64_t output_offset = 0;
  std::uint64_t granted_offset = 0;
  std::uint64_t granted_size = 0;

 private:
  ProcessMemory(guest::Slot domain, std::uint64_t id, bool native);
  guest::Status connect(guest::Slot port);

  guest::Slot domain_;
  std::uint64_t id_;
  bool native_;
  AddressSpace space_;
  GrowingArray<std::uint64_t> free_thread_pages_;
  std::span<std::byte> read_ahead_buffer_;
  std::uint64_t next_thread_page_ = shim::kThreadPages;
};

// What a badge says beside whose it is.
enum class BadgeKind : std::uint64_t { kCall = 1, kFault = 2, kNativeCall = 3 };
inline BadgeKind badge_kind(std::uint64_t badge) {
  return static_cast<BadgeKind>(badge & 0xff);
}

}  // namespace linux_server
