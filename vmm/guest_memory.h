#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "vmm/error.h"
#include "vmm/event_fd.h"
#include "vmm/file_descriptor.h"
#include "vmm/mapped_file.h"

namespace ensemble::vmm {

// The sentence about a machine that cannot go on because the file `name` has lost contents.
std::string lost_file_text(const std::string& name);

// One contiguous range of guest-physical addresses and the host memory behind it.
struct MemorySlot {
  std::string name;  // For errors: "memory below 3 GiB", "module root".
  uint64_t guest_address = 0;
  uint64_t size = 0;  // Bytes, a multiple of the page size.
  std::byte* host = nullptr;
  bool read_only = false;
};

// The memory of one machine: RAM, laid around the PCI hole as docs/machine.md says, and files
// mapped read-only at addresses of their own. The lower quarter of RAM is in a memfd, the rest is
// anonymous memory, which most hosts back by large pages only then.
//
// Owns the memfd and all mappings. Slots are added before the machine starts and never change
// afterwards, so any thread may call the accessors. The guest writes at any moment: copy what you
// check, and use the copy. All ranges are checked without overflow; a range that leaves its slot is
// an Error that names the address.
class GuestMemory {
 public:
  // RAM of `size` bytes: a multiple of 2 MiB from 16 MiB to 32 GiB. Reads as zero.
  static Result<GuestMemory> create(uint64_t size);

  // Copy-on-write memory over `memory_file`, which another machine has gathered its `size` bytes
  // in. Neither machine sees what the other writes from now on, provided that the original does
  // not run.
  static Result<GuestMemory> clone(int memory_file, uint64_t size);

  GuestMemory(GuestMemory&& other) noexcept;
  GuestMemory& operator=(GuestMemory&& other) noexcept;
  ~GuestMemory();

  // Maps the file `fd`, all of its `file_size` bytes, at `guest_address` (a multiple of the page
  // size), for the guest to read. The rest of the last page reads as zero. `fd` may be closed
  // afterwards. Call before the slots are given to KVM.
  Result<void> map_file(std::string name, uint64_t guest_address, int fd, uint64_t file_size);

  // Becomes readable when contents of a mapped file are found missing, and read as zero from then
  // on. Absent where no file is mapped.
  std::optional<int> file_loss_event() const;

  // The name of a mapped file that has lost contents.
  std::optional<std::string> lost_file() const;

  const std::vector<MemorySlot>& slots() const { return slots_; }

  // Bytes of RAM.
  uint64_t size() const { return size_; }

  // Moves all RAM into the memfd and returns it: for clones, and for saving. While nobody else
  // accesses the memory. After an error all RAM still holds what it held.
  Result<int> gather();

  // Gives the host memory behind `bytes`, which writable_span() has given, back: whole pages of it.
  // They read as zero afterwards (in a clone: as they were when it was made) and get memory again
  // when they are touched. Any thread, also while the guest uses them. An Error when that is no
  // RAM, or the host refuses; part of the range may be zero then.
  Result<void> discard(std::span<std::byte> bytes) const;

  // Bytes of RAM that this machine has made resident. For a clone: those that it has copied.
  Result<uint64_t> touched_bytes() const;

  // Copies out of guest memory, from one slot.
  Result<void> read(uint64_t guest_address, std::span<std::byte> data) const;

  // Copies into RAM, into one slot. A read-only slot is an Error.
  Result<void> write(uint64_t guest_address, std::span<const std::byte> data) const;

  // The host memory behind a range of RAM, for reading and writing in place (DMA). Never crosses a
  // slot; a read-only slot is an Error. An empty range is an Error outside of memory too.
  Result<std::span<std::byte>> writable_span(uint64_t guest_address, uint64_t size) const;

  // The same for reading only; read-only slots too.
  Result<std::span<const std::byte>> readable_span(uint64_t guest_address, uint64_t size) const;

  // Copies one trivially copyable object out of, or into, guest memory. Any alignment.
  template <typename T>
  Result<T> load(uint64_t guest_address) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    if (auto done = read(guest_address, std::as_writable_bytes(std::span(&value, 1))); !done) {
      return std::unexpected(done.error());
    }
    return value;
  }
  template <typename T>
  Result<void> store(uint64_t guest_address, const T& value) const {
    static_assert(std::is_trivially_copyable_v<T>);
    return write(guest_address, std::as_bytes(std::span(&value, 1)));
  }

  // Single-copy atomic accesses to an integer in RAM at its natural alignment (else an Error), for
  // indexes shared with the guest.
  template <typename T>
  Result<T> load_atomic(uint64_t guest_address,
                        std::memory_order order = std::memory_order_acquire) const {
    auto object = atomic_object<T>(guest_address);
    if (!object) {
      return std::unexpected(object.error());
    }
    return std::atomic_ref<T>(**object).load(order);
  }
  template <typename T>
  Result<void> store_atomic(uint64_t guest_address, T value,
                            std::memory_order order = std::memory_order_release) const {
    auto object = atomic_object<T>(guest_address);
    if (!object) {
      return std::unexpected(object.error());
    }
    std::atomic_ref<T>(**object).store(value, order);
    return {};
  }

 private:
  GuestMemory() = default;
  static Result<GuestMemory> map_ram(FileDescriptor memory_file, uint64_t size, bool shared);
  std::byte* ram() const { return slots_.front().host; }
  const MemorySlot* find(uint64_t guest_address, uint64_t size) const;

  template <typename T>
  Result<T*> atomic_object(uint64_t guest_address) const {
    static_assert(std::is_integral_v<T> && std::atomic_ref<T>::is_always_lock_free);
    if (guest_address % sizeof(T) != 0) {
      return fail("guest address {:#x} is not aligned to {} bytes", guest_address, sizeof(T));
    }
    auto span = writable_span(guest_address, sizeof(T));
    if (!span) {
      return std::unexpected(span.error());
    }
    return reinterpret_cast<T*>(span->data());
  }

  FileDescriptor memory_file_;
  uint64_t size_ = 0;
  uint64_t in_file_ = 0;  // Bytes of RAM, from the first on, that are in the memfd.
  bool shared_ = true;
  std::vector<MemorySlot> slots_;
  std::optional<EventFd> file_loss_;
  std::vector<MappedFile> files_;  // Behind the read-only slots.
};

}  // namespace ensemble::vmm
