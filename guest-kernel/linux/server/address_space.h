#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "guest-kernel/lib/system_call.h"
#include "guest-kernel/linux/server/node.h"
#include "guest-kernel/linux/server/result.h"
#include "guest-kernel/linux/server/segment_map.h"
#include "guest-kernel/linux/shim/layout.h"

namespace linux_server {

enum class Access : std::uint8_t { kRead, kWrite, kExecute };

// What became of a page fault. kNoFile: it is behind the end of the mapped file.
enum class FaultOutcome : std::uint8_t { kResolved, kBadAddress, kNoFile, kNoMemory };

// setrlimit(2), as far as it is about memory. Bytes.
struct MemoryLimits {
  static constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};
  std::uint64_t address_space = kUnlimited;
  std::uint64_t data = kUnlimited;
  std::uint64_t stack = shim::kStackSize;
};

// Who forks.
struct Forking {
  std::uint64_t stack_pointer = 0;
  bool alone = false;  // nobody else writes to this memory meanwhile
};

// The addresses of one process: which are in use, what is behind them, and the domain whose page
// tables follow. The server reads and writes a process's memory through its own view of the pages
// that it gave, never through the process's pointers.
class AddressSpace {
 public:
  // Maps into `domain`, which outlives it. `root`: the region of the root archive.
  AddressSpace(guest::Slot domain, guest::Slot root, std::span<const std::byte> archive);
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;
  ~AddressSpace() { clear(); }
  // Gives the memory back. The domain has ended or its mappings are gone.
  void clear();

  const SegmentMap& segments() const { return segments_; }

  // Adds a segment to a free range and maps what backs it. ENOMEM; what backs it stays the
  // caller's.
  Result<void> add(const Segment& segment);
  // As add(), with fresh memory behind all of it (at most 2 MiB at a time is contiguous).
  Result<void> add_memory(Segment segment);
  // Adds `contents` of a file in the root archive at the page-aligned `start`: pages whose bytes
  // are page-aligned in the archive are mapped in place if `segment` is not writable; the others
  // are copied. Bytes past the contents are zero.
  Result<void> add_contents(const Segment& segment, std::span<const std::byte> contents);

  // Adds the bytes of `segment.file` from segment.file_offset on: shared pages are the file's own,
  // private ones are copied when they are written to. Touching what lies past its end is a bus
  // error.
  Result<void> add_file(const Segment& segment);
  // The pages `first` … `last` of `file` are about to go: whoever touches them looks again.
  // `copies`: private copies of them go too.
  void forget_file_pages(const Node& file, std::uint64_t first, std::uint64_t last, bool copies);
  // Whether a program may write to the file through this space.
  bool shares_writable(const Node& file) const;

  // The file that runs here: nobody may write to it meanwhile.
  void set_program(Node& file);

  // Adds the process block, the last `size` bytes before abi::kSharedStart, whose memory is at
  // `offset` of the memory pool. Takes the memory over.
  Result<void> add_process_block(std::uint64_t offset, std::uint64_t size);

  // A free range of `size` bytes; 0: none. `hint`: where it is wanted, 0: anywhere.
  std::uint64_t find_range(std::uint64_t size, std::uint64_t hint) const;
  Result<void> remove(std::uint64_t start, std::uint64_t size);
  Result<void> protect(std::uint64_t start, std::uint64_t size, std::uint8_t protection);
  // Moves the segments of [from, from + size) to the free range at `to`.
  Result<void> move(std::uint64_t from, std::uint64_t size, std::uint64_t to);
  // Changes a property of all segments in the range.
  Result<void> set_fork_rule(std::uint64_t start, std::uint64_t size, ForkRule rule);
  Result<void> set_locked(std::uint64_t start, std::uint64_t size, bool locked);
  // Puts memory behind all of the range, as touching it would.
  Result<void> populate(std::uint64_t start, std::uint64_t size, Access access);
  // Whether `size` bytes more are within the limits; `is_data`: private and writable.
  bool may_grow(std::uint64_t size, bool is_data) const;
  MemoryLimits limits;

  // Gives back private memory in the range: it reads as zero or as its file again.
  Result<void> discard(std::uint64_t start, std::uint64_t size);

  // Makes this empty space a copy of `parent`, as fork(2) does: private memory is shared until one
  // of the two writes to it. The shim's pages, the stack around its pointer and what is small are
  // copied at once. ENOMEM: this space is to be thrown away; the parent is as it was.
  Result<void> copy_from(AddressSpace& parent, const Forking& forking);

  // Adds a page for one more thread's shim (shim::ThreadPage). ENOMEM.
  Result<void> add_thread_page(std::uint64_t address);

  // Adds the memory at shim::kReadAheadBuffer; a child of fork(2) has none. ENOMEM.
  Result<void> add_read_ahead_buffer();

  FaultOutcome handle_fault(std::uint64_t address, Access access);

  // The server's view of the bytes from `address` on, `size` at most, as many as are contiguous and
  // may be accessed so. EFAULT; ENOMEM.
  Result<std::span<std::byte>> window(std::uint64_t address, std::uint64_t size, Access access);
  // EFAULT if not all of it can be accessed; what came before the hole is copied.
  Result<void> read(std::uint64_t address, std::span<std::byte> to);
  Result<void> write(std::uint64_t address, std::span<const std::byte> from);
  template <typename T>
  Result<T> read_value(std::uint64_t address) {
    T value;
    const auto result = read(address, std::as_writable_bytes(std::span(&value, 1)));
    return result ? Result<T>(value) : std::unexpected(result.error());
  }
  template <typename T>
  Result<void> write_value(std::uint64_t address, const T& value) {
    return write(address, std::as_bytes(std::span(&value, 1)));
  }
  // The NUL-terminated string at `address`, without its NUL. ENAMETOOLONG: it does not fit.
  Result<std::string_view> read_string(std::uint64_t address, std::span<char> buffer);

  // The heap: brk(2). It starts at `start`, a multiple of 2 MiB, and gets its first memory.
  Result<void> start_heap(std::uint64_t start);
  std::uint64_t heap_start() const { return heap_start_; }
  std::uint64_t heap_end() const { return heap_end_; }
  // Up to here the end may move without the server: memory is mapped.
  std::uint64_t heap_limit() const { return heap_limit_; }
  // Where the shim has moved the end to; nonsense is ignored.
  void adopt_heap_end(std::uint64_t end);
  // Returns the break, moved if that was possible.
  std::uint64_t move_heap_end(std::uint64_t end);

  // Bytes that have memory or file contents behind them.
  std::uint64_t resident() const;

 private:
  // Adds a segment to a free range without mapping anything.
  Result<void> insert(const Segment& segment);
  // Gives a piece of a segment, which `segment` names by its start and end, new properties.
  Result<void> replace(const Segment& segment);
  // Maps what is behind [start, end), which lies in one segment, as far as it may be accessed now.
  Result<void> map_range(std::uint64_t start, std::uint64_t end);
  Result<void> give_memory(std::uint64_t start, std::uint64_t end);
  Result<void> unmap_range(std::uint64_t start, std::uint64_t end);
  // Replaces what is behind [start, end), in one segment, by memory of its own with the same bytes.
  Result<void> copy_pages(std::uint64_t start, std::uint64_t end);
  Result<void> break_sharing(std::uint64_t address);
  Result<void> share_segment(Segment& segment, AddressSpace& child, const Forking& forking);
  bool grow_stack(const Segment& above, std::uint64_t address);
  // The segment at `address`, after the stack has grown down to it if that is what is meant.
  const Segment* find_or_grow(std::uint64_t address);
  template <typename Change>
  Result<void> change_all(std::uint64_t start, std::uint64_t size, Change change);
  std::uint64_t fault_window(std::uint64_t start) const;
  FaultOutcome fill_hole(const Segment& segment, std::uint64_t address);
  FaultOutcome fill_from_file(const Segment& segment, std::uint64_t address);
  // Puts the file's pages `frames` behind [start, …), which lies in one segment of it.
  Result<void> place_pages(std::uint64_t start, std::span<const std::uint64_t> frames);
  Result<void> discard_piece(const Segment& segment);
  Result<void> protect_piece(Segment segment, std::uint8_t protection);
  Result<void> keep_file(Node* file);
  std::size_t file_index(const Node* file) const;
  // Gives [start, end) of one segment of a file back to the file.
  void forget_pages(std::uint64_t start, std::uint64_t end);
  void drop_unused_files();
  void release(const Segment& segment);
  std::uint64_t next_heap_limit(std::uint64_t end) const;
  bool grow_heap(std::uint64_t end);
  std::byte* view(const Segment& segment) const;

  guest::Slot domain_;
  guest::Slot root_;
  std::span<const std::byte> archive_;
  SegmentMap segments_;
  Reference<Node> program_;
  GrowingArray<Node*> files_;  // of the segments, each kept once, in order
  std::uint64_t heap_start_ = 0;
  std::uint64_t heap_end_ = 0;
  std::uint64_t heap_limit_ = 0;
  // The last fault, to tell a mapping that does not help from one that does.
  std::uint64_t last_fault_ = 0;
  unsigned repeated_faults_ = 0;
  unsigned large_pages_ = 0;  // given so far
  std::uint64_t given_ = 0;   // bytes that faults were given so far
};

}  // namespace linux_server
