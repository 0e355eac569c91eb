#pragma once

#include <ext2fs/ext2fs.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "guest-kernel/ext4/block_cache.h"
#include "guest-kernel/ext4/journal.h"
#include "guest-kernel/ext4/records.h"

namespace ext4 {

// An ext4 file system, kept by libext2fs on top of the journal. What one method changes is in one
// transaction; all since the last commit() is lost by a power cut, and nothing before it. Methods
// return 0 or an errno. An error in the middle of a change ends all writing: the file system on the
// disk stays as it was last committed. One thread; one volume at a time.
class Volume {
 public:
  // `memory` (a multiple of the page size, at least kLeastMemory): for blocks and notes.
  static constexpr std::size_t kLeastMemory = 1024 * 1024;
  Volume(Disk& disk, std::span<std::byte> memory) : disk_(disk), memory_(memory) {}
  ~Volume();
  Volume(const Volume&) = delete;
  Volume& operator=(const Volume&) = delete;

  // Formats a blank disk, replays the journal, finishes what a power cut left. `random`: for the
  // identity of a new file system. `report` then says what was done, or why it is read-only or
  // failed.
  int mount(std::int64_t now, std::span<const std::byte, 16> random);
  std::string_view report() const { return report_; }
  bool is_read_only() const { return read_only_; }
  // Commits, and leaves the journal empty.
  int unmount();

  // Every request starts with it: the time in nanoseconds since 1970.
  void begin_request(std::int64_t now);

  int get(ext2_ino_t inode, InodeRecord& record);
  // Fills `to` with entries (DirectoryRecord) from `position` on, which moves on; `used` 0: no
  // more.
  int list(ext2_ino_t directory, std::uint64_t& position, std::span<std::byte> to,
           std::uint64_t& used);
  int read(ext2_ino_t inode, std::uint64_t offset, std::span<std::byte> to);
  int read_link(ext2_ino_t inode, std::span<std::byte> to, std::uint64_t& size);
  void statistics(StatisticsRecord& record) const;
  // Bytes that can certainly be written.
  std::uint64_t room() const;

  // `done`: fewer than all where the disk is full after them.
  int write(ext2_ino_t inode, std::uint64_t offset, std::span<const std::byte> from,
            std::uint64_t& done);
  int truncate(ext2_ino_t inode, std::uint64_t size);
  int allocate(ext2_ino_t inode, bool keep_size, std::uint64_t offset, std::uint64_t size);
  int punch(ext2_ino_t inode, std::uint64_t offset, std::uint64_t size);
  // The range is zeroes, on blocks that are there.
  int zero_range(ext2_ino_t inode, bool keep_size, std::uint64_t offset, std::uint64_t size);
  // Where the next data or hole at or after `offset` is; the file's size: there is none.
  int seek(ext2_ino_t inode, bool hole, std::uint64_t offset, std::uint64_t& found);
  int set_attributes(ext2_ino_t inode, const InodeRecord& record);
  // An empty name: a file without one, which release() ends.
  int create(ext2_ino_t directory, std::string_view name, const InodeRecord& what,
             std::string_view target, ext2_ino_t& made);
  int link(ext2_ino_t directory, std::string_view name, ext2_ino_t inode);
  // An inode without a link left lives on until release(), or the next mount.
  int remove(ext2_ino_t directory, std::string_view name, ext2_ino_t inode);
  int rename(const RenameRecord& what, std::string_view name, std::string_view new_name);
  int release(ext2_ino_t inode);
  int commit();

  // Extended attributes, by whole names. ENODATA: there is none. `size`: what it takes; ERANGE:
  // that is more than `to` has.
  int get_attribute(ext2_ino_t inode, std::string_view name, std::span<std::byte> to,
                    std::uint64_t& size);
  // Names, a zero after each.
  int list_attributes(ext2_ino_t inode, std::span<std::byte> to, std::uint64_t& size);
  int set_attribute(ext2_ino_t inode, std::string_view name, std::span<const std::byte> value);
  int remove_attribute(ext2_ino_t inode, std::string_view name);

 private:
  // Both sizes of inode in one.
  struct Inode : ext2_inode_large {
    ext2_inode* small() { return reinterpret_cast<ext2_inode*>(this); }
  };

  int fail(std::string_view why, int error);
  int check_features();
  int open_library(int flags);
  int map_journal();
  int start_journal();
  int replay();
  int finish_orphans();
  int write_bitmaps();
  int write_bitmap(dgrp_t group, bool of_inodes);
  void mark_group(dgrp_t group, bool of_inodes);
  static void block_changed(ext2_filsys fs, blk64_t block, int in_use);
  static void blocks_changed(ext2_filsys fs, blk64_t block, blk_t count, int in_use);
  // What every change ends with: all is well, or nothing is written any more.
  int settle(int error);
  int abort();
  int may_write() const { return aborted_ ? EIO : read_only_ ? EROFS : 0; }
  bool has_room(std::uint64_t blocks) const;

  int read_inode(ext2_ino_t number, Inode& inode);
  int read_directory_inode(ext2_ino_t number, Inode& inode);
  int write_inode(ext2_ino_t number, Inode& inode);
  void touch(Inode& inode, bool modified) const;
  void set_time(Inode& inode, int which, std::int64_t time) const;
  static std::int64_t time_of(const Inode& inode, int which);
  void describe(ext2_ino_t number, const Inode& inode, InodeRecord& record) const;
  int touch_directory(ext2_ino_t directory, int more_links);

  int map(ext2_ino_t number, Inode& inode, std::uint64_t block, bool& is_new, std::uint64_t& at);
  bool has_blocks(ext2_ino_t number, Inode& inode, std::uint64_t offset, std::uint64_t size);
  int write_block(ext2_ino_t number, Inode& inode, std::uint64_t offset,
                  std::span<const std::byte> from);
  // More is EFBIG: what a file can hold with the old map of blocks of every size, and with extents.
  static std::uint64_t most_bytes(const Inode& inode) {
    return std::uint64_t{1} << ((inode.i_flags & EXT4_EXTENTS_FL) != 0 ? 41 : 34);
  }
  int zero_part(ext2_ino_t number, Inode& inode, std::uint64_t from, std::uint64_t to);
  int free_from(ext2_ino_t number, Inode& inode, std::uint64_t size, std::uint64_t old_size);
  int do_truncate(ext2_ino_t number, std::uint64_t size);
  int do_allocate(ext2_ino_t number, Inode& inode, bool keep_size, std::uint64_t offset,
                  std::uint64_t size);
  int do_punch(ext2_ino_t number, Inode& inode, std::uint64_t offset, std::uint64_t size);
  int start_range(ext2_ino_t number, Inode& inode, std::uint64_t offset, std::uint64_t size);
  int touch_attributes(ext2_ino_t number);

  int add_entry(ext2_ino_t directory, const char* name, ext2_ino_t number, std::uint32_t mode);
  int set_entry(ext2_ino_t directory, std::string_view name, ext2_ino_t number, std::uint32_t mode);
  int make_inode(ext2_ino_t directory, const char* name, const InodeRecord& what,
                 std::string_view target, ext2_ino_t& made);
  int do_rename(const RenameRecord& what, const char* name, const char* new_name);
  int drop_link(ext2_ino_t number, bool is_directory);
  int add_orphan(ext2_ino_t number, Inode& inode);
  int remove_orphan(ext2_ino_t number);
  int do_release(ext2_ino_t number);

  Disk& disk_;
  std::span<std::byte> memory_;
  std::optional<BlockCache> cache_;
  std::optional<Journal> journal_;
  std::array<JournalExtent, 128> journal_extents_{};
  std::size_t extent_count_ = 0;
  std::span<std::byte> scratch_;  // two blocks for the journal, one for bitmaps
  std::span<Journal::Revoke> revokes_;
  std::span<std::uint64_t> dirty_groups_;  // a bit each: block bitmaps, then inode bitmaps
  ext2_filsys fs_ = nullptr;
  std::string_view report_;
  std::int64_t now_ = 0;
  bool read_only_ = true;
  bool aborted_ = false;
};

// Whether there is nothing on the disk where a file system has its first blocks, or only what a
// format() that was cut off has left. `memory`: at least 64 KiB to read into.
bool is_blank(Disk& disk, std::span<std::byte> memory);
// Makes an empty file system.
int format(BlockCache& cache, std::int64_t now, std::span<const std::byte, 16> random);

}  // namespace ext4
