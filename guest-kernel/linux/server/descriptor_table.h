#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/read_ahead.h"
#include "guest-kernel/linux/shim/layout.h"
#include "guest-kernel/linux/shim/limits.h"

namespace linux_server {

// A process's descriptors. It is Counted so that processes can share one.
class DescriptorTable : public Counted {
 public:
  static constexpr std::uint32_t kMaximum = shim::kMaximumFiles;

  DescriptorTable() = default;
  // Closes all.
  ~DescriptorTable() override;

  // The open file, or null.
  Reference<File> find(std::uint64_t descriptor) const;
  // As many numbers may be used (RLIMIT_NOFILE); those in use beyond it stay.
  void set_limit(std::uint64_t limit);
  std::uint32_t limit() const { return limit_; }
  // Whether add() would find a number.
  bool has_room() const;
  // It holds few, which it may have however many the others have.
  bool is_small() const;
  // Gives `file` the lowest free number from `lowest` on. EMFILE, ENFILE, ENOMEM.
  std::int64_t add(Reference<File> file, bool close_on_exec, std::uint64_t lowest = 0);
  // Gives it that number, closing what has it. EBADF, ENOMEM. Closing a file gives up the record
  // locks that this table's processes have of it.
  std::int64_t put(std::uint64_t descriptor, Reference<File> file, bool close_on_exec);
  // The same files at the same numbers, for a child. Null: no memory.
  Reference<DescriptorTable> copy() const;
  // Closes those that exec closes.
  void close_for_exec();
  // False: it is not open.
  bool close(std::uint64_t descriptor);
  bool close_on_exec(std::uint64_t descriptor) const;
  void set_close_on_exec(std::uint64_t descriptor, bool value);
  std::uint32_t capacity() const { return capacity_; }

  // Keeps `page`'s descriptor_kinds as they are here from now on; those of the page before are
  // cleared. Null: no page. One that processes share without sharing memory is never published.
  void publish(shim::ProcessPage* page);
  void never_publish();
  // A program has read `size` bytes, all it wanted, by `descriptor`: its shim may get more of them.
  // `memory`: where it runs.
  void read_ahead(std::uint64_t descriptor, ProcessMemory& memory, std::uint64_t size);

 private:
  struct Entry {
    Reference<File> file;
    bool close_on_exec = false;
  };

  std::uint64_t find_free(std::uint64_t lowest) const;
  // What a table takes of its share of the memory.
  static std::uint64_t cost_of(std::uint32_t capacity);
  bool grow(std::uint32_t capacity);
  void drop(std::uint32_t number);
  void publish_one(std::uint32_t number);

  Entry* entries_ = nullptr;
  std::uint32_t capacity_ = 0;
  std::uint32_t limit_ = shim::kUsualFiles;
  std::uint32_t first_free_ = 0;  // all below are in use
  bool may_publish_ = true;
  shim::ProcessPage* page_ = nullptr;
  ReadAhead read_ahead_;
};

}  // namespace linux_server
