#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "guest-kernel/ext4/disk.h"

namespace ext4 {

// Blocks of a disk in memory. What is written stays here until the journal has it: nothing dirty
// reaches its place on the disk by itself. Methods return 0 or an errno.
class BlockCache {
 public:
  struct Buffer {
    std::uint64_t block = 0;
    std::byte* bytes = nullptr;
    Buffer* next = nullptr;  // of the same hash
    bool used = false;
    bool dirty = false;
    bool logged = false;  // a commit has it, its place on the disk not yet
    bool recent = false;
  };

  // `memory`: for the blocks and the notes on them; multiples of the page size.
  BlockCache(Disk& disk, std::span<std::byte> memory, std::uint32_t block_size);

  std::uint32_t block_size() const { return block_size_; }
  Disk& disk() { return disk_; }

  int read(std::uint64_t offset, void* to, std::uint64_t size);
  int write(std::uint64_t offset, const void* from, std::uint64_t size);

  int zero(std::uint64_t offset, std::uint64_t size);

  // While set, writes go to the disk at once.
  void set_direct(bool direct) { direct_ = direct; }
  int flush_if_direct() { return direct_ ? disk_.flush() : 0; }
  // Blocks that may be touched until an error is given: what a damaged file system can make one
  // request cost.
  void set_budget(std::uint64_t blocks) { budget_ = refuses_ ? 0 : blocks; }

  std::size_t capacity() const { return buffers_.size(); }
  std::size_t dirty_count() const { return dirty_count_; }
  std::span<Buffer> buffers() { return buffers_; }
  std::size_t logged_count() const { return logged_count_; }
  // A dirty block is in the log: it stays here until it is in its place too.
  void mark_logged(Buffer& buffer);
  void mark_placed(Buffer& buffer);
  // Forgets everything, what is dirty too.
  void clear();
  // After clear(): everything fails from here on, for the disk does not have what was committed.
  void refuse() { budget_ = 0, refuses_ = true; }

 private:
  int read_run(std::uint64_t offset, void* to, std::uint64_t size, std::uint64_t& done);
  Buffer* find(std::uint64_t block);
  Buffer* take();
  // Null, with `error` set: no buffer, or the disk failed.
  Buffer* get(std::uint64_t block, bool read, int& error);
  std::size_t hash(std::uint64_t block) const;
  void unlink(Buffer& buffer);

  Disk& disk_;
  std::uint32_t block_size_;
  std::span<Buffer> buffers_;
  std::span<Buffer*> table_;
  std::size_t hand_ = 0;
  std::size_t dirty_count_ = 0;
  std::size_t logged_count_ = 0;
  std::uint64_t budget_ = ~std::uint64_t{0};
  bool direct_ = false;
  bool refuses_ = false;
};

}  // namespace ext4
