#include "guest-kernel/ext4/volume.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "guest-kernel/ext4/library_io.h"

// Mounting, committing, ending.
namespace ext4 {
namespace {

constexpr std::uint32_t kSuperblockOffset = 1024;
constexpr std::uint32_t kFullMagic = 0xef53;
constexpr std::size_t kRevokes = 4096;
constexpr std::uint32_t kMostGroups = 65536;
// Blocks that one request may touch: far more than a sound file system makes it.
constexpr std::uint64_t kRequestBudget = 200'000;

constexpr std::uint32_t kKnownIncompatible =
    EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_RECOVER | EXT3_FEATURE_INCOMPAT_EXTENTS |
    EXT4_FEATURE_INCOMPAT_64BIT | EXT4_FEATURE_INCOMPAT_FLEX_BG | EXT4_FEATURE_INCOMPAT_CSUM_SEED;
constexpr std::uint32_t kKnownReadOnly =
    EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE |
    EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_GDT_CSUM |
    EXT4_FEATURE_RO_COMPAT_DIR_NLINK | EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE |
    EXT4_FEATURE_RO_COMPAT_METADATA_CSUM;
constexpr std::uint32_t kRefusedCompatible =
    EXT4_FEATURE_COMPAT_SPARSE_SUPER2 | EXT4_FEATURE_COMPAT_FAST_COMMIT |
    EXT4_FEATURE_COMPAT_STABLE_INODES | EXT4_FEATURE_COMPAT_ORPHAN_FILE;

int read_superblock(Disk& disk, ext2_super_block& superblock) {
  return disk.size() < 64 * 1024 ? EINVAL
                                 : disk.read(kSuperblockOffset, &superblock, sizeof(superblock));
}

}  // namespace

Volume::~Volume() {
  if (fs_ != nullptr) {
    ext2fs_free(fs_);
  }
}

int Volume::fail(std::string_view why, int error) {
  report_ = why;
  return error;
}

int Volume::open_library(int flags) {
  use_cache(&*cache_);
  if (const errcode_t error =
          ext2fs_open2("disk", nullptr, flags | EXT2_FLAG_64BITS, 0, 0, library_io(), &fs_)) {
    fs_ = nullptr;
    return error == EXT2_ET_NO_MEMORY ? ENOMEM : EIO;
  }
  fs_->priv_data = this;
  return 0;
}

int Volume::check_features() {
  const ext2_super_block& super = *fs_->super;
  if ((super.s_feature_incompat & ~kKnownIncompatible) != 0) {
    return fail("the file system has features that are not supported", EOPNOTSUPP);
  }
  if (fs_->group_desc_count > kMostGroups || EXT2FS_CLUSTER_RATIO(fs_) != 1 ||
      (fs_->blocksize != 1024 && fs_->blocksize != 2048 && fs_->blocksize != 4096)) {
    return fail("the file system's shape is not supported", EOPNOTSUPP);
  }
  read_only_ = true;
  if (disk_.is_read_only()) {
    report_ = "read-only, as the disk is";
  } else if ((super.s_feature_ro_compat & ~kKnownReadOnly) != 0 ||
             (super.s_feature_compat & kRefusedCompatible) != 0) {
    report_ = "read-only: it has features that are not supported for writing";
  } else if (!ext2fs_has_feature_journal(fs_->super) || super.s_journal_inum == 0) {
    report_ = "read-only: it has no journal of its own";
  } else if ((super.s_state & EXT2_ERROR_FS) != 0) {
    report_ = "read-only: it has noted errors; e2fsck repairs them";
  } else {
    read_only_ = false;
  }
  return 0;
}

// Where the journal's blocks are.
int Volume::map_journal() {
  extent_count_ = 0;
  Inode inode;
  if (const int failed = read_inode(fs_->super->s_journal_inum, inode)) {
    return failed;
  }
  const std::uint64_t blocks =
      std::min<std::uint64_t>(EXT2_I_SIZE(&inode) / fs_->blocksize, std::uint64_t{1} << 20);
  for (std::uint64_t i = 0; i < blocks; ++i) {
    blk64_t at = 0;
    if (ext2fs_bmap2(fs_, fs_->super->s_journal_inum, inode.small(), nullptr, 0, i, nullptr, &at) !=
            0 ||
        at == 0) {
      return EIO;
    }
    JournalExtent* last = extent_count_ == 0 ? nullptr : &journal_extents_[extent_count_ - 1];
    if (last != nullptr && last->first + last->count == at) {
      ++last->count;
    } else if (extent_count_ == journal_extents_.size()) {
      return EOPNOTSUPP;
    } else {
      journal_extents_[extent_count_++] = {at, 1};
    }
  }
  return 0;
}

int Volume::start_journal() {
  if (const int failed = map_journal()) {
    return failed;
  }
  journal_.emplace(*cache_, std::span(journal_extents_).first(extent_count_), scratch_, revokes_);
  return journal_->open();
}

// Puts in place what was committed, before anything else is read.
int Volume::replay() {
  const bool wanted = ext2fs_has_feature_journal_needs_recovery(fs_->super);
  if (!wanted && !(journal_ && journal_->needs_replay())) {
    return 0;
  }
  if (!journal_ || disk_.is_read_only()) {
    return fail("its journal has to be replayed, and cannot be", EROFS);
  }
  if (journal_->needs_replay()) {
    if (const int failed = journal_->replay()) {
      return fail("its journal is damaged", failed);
    }
    report_ = "the journal was replayed";
  }
  // The copy in memory may be older than what the journal had.
  ext2fs_free(fs_);
  fs_ = nullptr;
  cache_->clear();
  return open_library(EXT2_FLAG_RW);
}

int Volume::mount(std::int64_t now, std::span<const std::byte, 16> random) {
  ext2_super_block superblock;
  if (const int failed = read_superblock(disk_, superblock)) {
    return fail("the disk cannot be read", failed);
  }
  const bool blank = is_blank(disk_, memory_);
  std::uint32_t block_size = 4096;
  if (!blank) {
    if (superblock.s_magic != kFullMagic || superblock.s_log_block_size > 2) {
      return fail("there is something else than ext4 on the disk; it stays as it is", EINVAL);
    }
    block_size = 1024u << superblock.s_log_block_size;
  }
  const std::size_t revoke_bytes = kRevokes * sizeof(Journal::Revoke);
  const std::size_t group_bytes = 2 * kMostGroups / 8;
  const std::size_t notes = revoke_bytes + group_bytes + 3 * 4096;
  const auto rest = memory_.last(notes);
  revokes_ = {reinterpret_cast<Journal::Revoke*>(rest.data()), kRevokes};
  dirty_groups_ = {reinterpret_cast<std::uint64_t*>(rest.data() + revoke_bytes), group_bytes / 8};
  std::fill(dirty_groups_.begin(), dirty_groups_.end(), 0);
  scratch_ = rest.subspan(revoke_bytes + group_bytes);
  cache_.emplace(disk_, memory_.first(memory_.size() - notes), block_size);
  now_ = now;
  if (blank) {
    if (disk_.is_read_only()) {
      return fail("the disk is blank and read-only", EROFS);
    }
    cache_->set_direct(true);
    const int failed = format(*cache_, now, random);
    cache_->set_direct(false);
    cache_->clear();
    if (failed != 0) {
      return fail("the blank disk cannot be formatted", failed);
    }
    report_ = "the blank disk was formatted";
  }
  if (const int failed = open_library(disk_.is_read_only() ? 0 : EXT2_FLAG_RW)) {
    return fail("the file system is damaged", failed);
  }
  if (const int failed = check_features()) {
    return failed;
  }
  const std::string_view reason = report_;
  if (ext2fs_has_feature_journal(fs_->super) && fs_->super->s_journal_inum != 0) {
    if (const int failed = start_journal()) {
      return fail("its journal is damaged, or has features that are not supported", failed);
    }
  }
  if (const int failed = replay()) {
    return failed;
  }
  if (const int failed = check_features()) {
    return failed;
  }
  if (read_only_) {
    return 0;
  }
  if (report_.empty()) {
    report_ = reason;
  }
  // Bit by bit where that fits, else as trees, which are small unless the disk is in many pieces.
  const std::uint64_t bits = ext2fs_blocks_count(fs_->super) + fs_->super->s_inodes_count;
  fs_->default_bitmap_type =
      bits / 8 <= memory_.size() / 2 ? EXT2FS_BMAP64_BITARRAY : EXT2FS_BMAP64_RBTREE;
  if (const errcode_t error = ext2fs_read_bitmaps(fs_)) {
    return error == EXT2_ET_NO_MEMORY ? fail("there is too little memory for its bitmaps", ENOMEM)
                                      : fail("its bitmaps are damaged", error_number(error));
  }
  ext2fs_set_block_alloc_stats_callback(fs_, block_changed, nullptr);
  ext2fs_set_block_alloc_stats_range_callback(fs_, blocks_changed, nullptr);
  fs_->flags |= EXT2_FLAG_MASTER_SB_ONLY;
  ext2fs_set_feature_journal_needs_recovery(fs_->super);
  fs_->super->s_mnt_count++;
  fs_->super->s_mtime = static_cast<std::uint32_t>(now / 1'000'000'000);
  ext2fs_mark_super_dirty(fs_);
  cache_->set_direct(true);
  const errcode_t flushed = ext2fs_flush2(fs_, 0);
  cache_->set_direct(false);
  if (flushed != 0 || disk_.flush() != 0 || journal_->begin() != 0) {
    return fail("the disk cannot be written", EIO);
  }
  return finish_orphans() == 0 ? 0 : fail("its list of orphans is damaged", EIO);
}

int Volume::finish_orphans() {
  begin_request(now_);
  for (std::uint32_t left = fs_->super->s_inodes_count; fs_->super->s_last_orphan != 0; --left) {
    const ext2_ino_t number = fs_->super->s_last_orphan;
    Inode inode;
    if (left == 0 || read_inode(number, inode) != 0) {
      return EIO;
    }
    const int failed = inode.i_links_count == 0 ? release(number) : settle([&] {
      const int cut = do_truncate(number, EXT2_I_SIZE(&inode));
      return cut != 0 ? cut : remove_orphan(number);
    }());
    if (failed != 0) {
      return failed;
    }
    begin_request(now_);
  }
  return commit();
}

int Volume::unmount() {
  if (fs_ == nullptr || read_only_ || aborted_) {
    return aborted_ ? EIO : 0;
  }
  begin_request(now_);
  // Files without a name that are still open end here.
  if (finish_orphans() != 0) {
    return EIO;
  }
  if (const int failed = journal_->end()) {
    return failed;
  }
  // Only now does nobody need the journal.
  ext2fs_clear_feature_journal_needs_recovery(fs_->super);
  ext2fs_mark_super_dirty(fs_);
  cache_->set_direct(true);
  const errcode_t error = ext2fs_flush2(fs_, 0);
  cache_->set_direct(false);
  const int failed = disk_.flush();
  read_only_ = true;
  return error != 0 ? error_number(error) : failed;
}

void Volume::begin_request(std::int64_t now) {
  now_ = now;
  if (fs_ != nullptr) {
    fs_->now = now / 1'000'000'000;
    cache_->set_budget(kRequestBudget);
  }
}

void Volume::mark_group(dgrp_t group, bool of_inodes) {
  const std::size_t bit = group + (of_inodes ? kMostGroups : 0);
  if (group < kMostGroups) {
    dirty_groups_[bit / 64] |= std::uint64_t{1} << bit % 64;
  }
}

void Volume::block_changed(ext2_filsys fs, blk64_t block, int /*in_use*/) {
  static_cast<Volume*>(fs->priv_data)->mark_group(ext2fs_group_of_blk2(fs, block), false);
}

void Volume::blocks_changed(ext2_filsys fs, blk64_t block, blk_t count, int in_use) {
  const blk64_t end = block + count;
  for (; block < end; block += fs->super->s_blocks_per_group) {
    block_changed(fs, block, in_use);
  }
  if (count != 0) {
    block_changed(fs, end - 1, in_use);
  }
}

int Volume::write_bitmap(dgrp_t group, bool of_inodes) {
  const std::span<std::byte> block = scratch_.subspan(2 * 4096, fs_->blocksize);
  char* const bytes = reinterpret_cast<char*>(block.data());
  std::memset(bytes, 0xff, fs_->blocksize);
  const std::uint32_t per_group =
      of_inodes ? fs_->super->s_inodes_per_group : fs_->super->s_blocks_per_group;
  std::uint64_t first = 0;
  std::uint64_t count = per_group;
  errcode_t error = 0;
  if (of_inodes) {
    first = std::uint64_t{group} * per_group + 1;
    error = ext2fs_get_inode_bitmap_range2(fs_->inode_map, first, count, bytes);
  } else {
    first = ext2fs_group_first_block2(fs_, group);
    count = ext2fs_group_last_block2(fs_, group) - first + 1;
    error = ext2fs_get_block_bitmap_range2(fs_->block_map, first, count, bytes);
    for (std::uint64_t bit = count; bit < per_group; ++bit) {
      ext2fs_set_bit(static_cast<unsigned>(bit), bytes);
    }
  }
  if (error != 0) {
    return error_number(error);
  }
  const auto size = static_cast<int>(per_group / 8);
  const blk64_t at =
      of_inodes ? ext2fs_inode_bitmap_loc(fs_, group) : ext2fs_block_bitmap_loc(fs_, group);
  error = of_inodes ? ext2fs_inode_bitmap_csum_set(fs_, group, bytes, size)
                    : ext2fs_block_bitmap_csum_set(fs_, group, bytes, size);
  ext2fs_group_desc_csum_set(fs_, group);
  if (error != 0 || at == 0) {
    return EIO;
  }
  return cache_->write(at * fs_->blocksize, bytes, fs_->blocksize);
}

int Volume::write_bitmaps() {
  for (std::size_t i = 0; i < dirty_groups_.size(); ++i) {
    while (dirty_groups_[i] != 0) {
      const std::size_t bit = 64 * i + static_cast<std::size_t>(std::countr_zero(dirty_groups_[i]));
      dirty_groups_[i] &= dirty_groups_[i] - 1;
      const bool of_inodes = bit >= kMostGroups;
      if (const int failed =
              write_bitmap(static_cast<dgrp_t>(bit - (of_inodes ? kMostGroups : 0)), of_inodes)) {
        return failed;
      }
    }
  }
  fs_->flags &= ~(EXT2_FLAG_BB_DIRTY | EXT2_FLAG_IB_DIRTY);
  return 0;
}

// Goes back to what was last committed, and stays there.
int Volume::abort() {
  aborted_ = true;
  cache_->clear();
  ext2fs_flush_icache(fs_);  // libext2fs has copies of inodes of its own
  if (journal_->recover() != 0) {
    cache_->refuse();
  }
  return EIO;
}

int Volume::commit() {
  if (read_only_) {
    return 0;
  }
  if (aborted_) {
    return EIO;
  }
  const bool changed = (fs_->flags & EXT2_FLAG_DIRTY) != 0 || cache_->dirty_count() != 0;
  if (!changed) {
    return 0;
  }
  int failed = write_bitmaps();
  if (failed == 0) {
    failed = error_number(ext2fs_flush2(fs_, 0));
  }
  if (failed == 0) {
    failed = journal_->commit(now_ / 1'000'000'000);
  }
  if (failed != 0) {
    return abort();
  }
  return 0;
}

int Volume::settle(int error) {
  if (error != 0) {
    return abort();
  }
  const std::size_t most = std::min(cache_->capacity() / 2, journal_->capacity() / 2);
  return cache_->dirty_count() > most ? commit() : 0;
}

bool Volume::has_room(std::uint64_t blocks) const {
  constexpr std::uint64_t kForMetadata = 16;
  return ext2fs_free_blocks_count(fs_->super) >= blocks + kForMetadata;
}

std::uint64_t Volume::room() const {
  // Twice what is taken: a block of data may need one more to be found by.
  return fs_ == nullptr || may_write() != 0
             ? 0
             : ext2fs_free_blocks_count(fs_->super) / 2 * fs_->blocksize;
}

void Volume::statistics(StatisticsRecord& record) const {
  const ext2_super_block& super = *fs_->super;
  const std::uint64_t blocks = ext2fs_blocks_count(fs_->super);
  record = {fs_->blocksize, blocks,
            std::min<std::uint64_t>(ext2fs_free_blocks_count(fs_->super), blocks),
            super.s_inodes_count, super.s_free_inodes_count};
}

}  // namespace ext4
