#include <algorithm>
#include <cerrno>
#include <cstring>

#include "guest-kernel/ext4/library_io.h"
#include "guest-kernel/ext4/volume.h"

// Inodes and their bytes.
namespace ext4 {
namespace {

enum Time { kAccessed, kChanged, kModified, kCreated };

constexpr std::int64_t kSecond = 1'000'000'000;
// Freed in one step: what one transaction can take in any case.
constexpr std::uint64_t kStepBlocks = 16384;

bool has_map(ext2_filsys fs, ext2_inode* inode) {
  return ext2fs_inode_has_valid_blocks2(fs, inode) != 0;
}

}  // namespace

int Volume::read_inode(ext2_ino_t number, Inode& inode) {
  std::memset(static_cast<ext2_inode_large*>(&inode), 0, sizeof(ext2_inode_large));
  if (fs_ == nullptr || number == 0 || number > fs_->super->s_inodes_count) {
    return EIO;
  }
  const errcode_t error =
      ext2fs_read_inode_full(fs_, number, inode.small(), sizeof(ext2_inode_large));
  if (error != 0) {
    return error_number(error);
  }
  // Of these neither the bytes nor the blocks are where they seem to be.
  constexpr std::uint32_t kStrange = EXT4_INLINE_DATA_FL | EXT4_ENCRYPT_FL | EXT4_VERITY_FL;
  return (inode.i_flags & kStrange) != 0 ? EIO : 0;
}

int Volume::read_directory_inode(ext2_ino_t number, Inode& inode) {
  const int failed = read_inode(number, inode);
  return failed != 0 ? failed : LINUX_S_ISDIR(inode.i_mode) ? 0 : ENOTDIR;
}

int Volume::write_inode(ext2_ino_t number, Inode& inode) {
  return error_number(
      ext2fs_write_inode_full(fs_, number, inode.small(), sizeof(ext2_inode_large)));
}

std::int64_t Volume::time_of(const Inode& inode, int which) {
  const std::uint32_t seconds[] = {inode.i_atime, inode.i_ctime, inode.i_mtime, inode.i_crtime};
  const std::uint32_t extra[] = {inode.i_atime_extra, inode.i_ctime_extra, inode.i_mtime_extra,
                                 inode.i_crtime_extra};
  const std::int64_t whole = static_cast<std::int32_t>(seconds[which]) +
                             (static_cast<std::int64_t>(extra[which] & 3) << 32);
  return whole * kSecond + std::min<std::int64_t>(extra[which] >> 2, kSecond - 1);
}

void Volume::set_time(Inode& inode, int which, std::int64_t time) const {
  const std::int64_t fraction = ((time % kSecond) + kSecond) % kSecond;
  const std::int64_t whole = (time - fraction) / kSecond;
  const auto low = static_cast<std::uint32_t>(whole);
  const std::int64_t high = (whole - static_cast<std::int32_t>(low)) >> 32;
  const auto extra = static_cast<std::uint32_t>(fraction << 2 | (high & 3));
  std::uint32_t* const seconds[] = {&inode.i_atime, &inode.i_ctime, &inode.i_mtime,
                                    &inode.i_crtime};
  std::uint32_t* const extras[] = {&inode.i_atime_extra, &inode.i_ctime_extra, &inode.i_mtime_extra,
                                   &inode.i_crtime_extra};
  const bool is_large = EXT2_INODE_SIZE(fs_->super) > EXT2_GOOD_OLD_INODE_SIZE;
  if (which != kCreated || is_large) {
    *seconds[which] = low;
  }
  if (is_large) {
    *extras[which] = extra;
  }
}

void Volume::touch(Inode& inode, bool modified) const {
  set_time(inode, kChanged, now_);
  if (modified) {
    set_time(inode, kModified, now_);
  }
}

void Volume::describe(ext2_ino_t number, const Inode& inode, InodeRecord& record) const {
  record = {};
  record.inode = number;
  record.mode = inode.i_mode;
  record.links = inode.i_links_count;
  record.user = inode.i_uid | std::uint32_t{inode.osd2.linux2.l_i_uid_high} << 16;
  record.group = inode.i_gid | std::uint32_t{inode.osd2.linux2.l_i_gid_high} << 16;
  if (LINUX_S_ISCHR(inode.i_mode) || LINUX_S_ISBLK(inode.i_mode)) {
    record.device_number = inode.i_block[0] != 0 ? inode.i_block[0] : inode.i_block[1];
  }
  record.size = EXT2_I_SIZE(&inode);
  const std::uint64_t blocks = inode.i_blocks | std::uint64_t{inode.osd2.linux2.l_i_blocks_hi}
                                                    << 32;
  record.allocated = blocks * ((inode.i_flags & EXT4_HUGE_FILE_FL) != 0 ? fs_->blocksize : 512);
  record.accessed = time_of(inode, kAccessed);
  record.modified = time_of(inode, kModified);
  record.changed = time_of(inode, kChanged);
  record.created = time_of(inode, kCreated);
}

int Volume::get(ext2_ino_t number, InodeRecord& record) {
  Inode inode;
  const int failed = read_inode(number, inode);
  if (failed == 0) {
    describe(number, inode, record);
  }
  return failed;
}

int Volume::read(ext2_ino_t number, std::uint64_t offset, std::span<std::byte> to) {
  Inode inode;
  if (const int failed = read_inode(number, inode)) {
    return failed;
  }
  std::memset(to.data(), 0, to.size());
  const std::uint64_t size = EXT2_I_SIZE(&inode);
  if (!has_map(fs_, inode.small()) || offset >= size) {
    return 0;
  }
  to = to.first(std::min<std::uint64_t>(to.size(), size - offset));
  const std::uint64_t unit = fs_->blocksize;
  std::uint64_t run_at = 0;  // on the disk
  std::uint64_t run_start = 0;
  std::uint64_t run_size = 0;
  const auto finish = [&] {
    return run_size == 0 ? 0 : cache_->read(run_at, to.data() + run_start, run_size);
  };
  for (std::uint64_t done = 0; done < to.size();) {
    const std::uint64_t in_block = (offset + done) % unit;
    const std::uint64_t count = std::min(to.size() - done, unit - in_block);
    int flags = 0;
    blk64_t block = 0;
    if (const errcode_t error = ext2fs_bmap2(fs_, number, inode.small(), nullptr, 0,
                                             (offset + done) / unit, &flags, &block)) {
      return error_number(error);
    }
    const bool is_hole = block == 0 || (flags & BMAP_RET_UNINIT) != 0;
    const std::uint64_t at = block * unit + in_block;
    if (!is_hole && run_size != 0 && run_at + run_size == at && run_start + run_size == done) {
      run_size += count;
    } else {
      if (const int failed = finish()) {
        return failed;
      }
      run_at = at;
      run_start = done;
      run_size = is_hole ? 0 : count;
    }
    done += count;
  }
  return finish();
}

// The block's place on the disk, which is found for it if it has none.
int Volume::map(ext2_ino_t number, Inode& inode, std::uint64_t block, bool& is_new,
                std::uint64_t& at) {
  int flags = 0;
  blk64_t place = 0;
  errcode_t error = ext2fs_bmap2(fs_, number, inode.small(), nullptr, 0, block, &flags, &place);
  if (error != 0) {
    return error_number(error);
  }
  is_new = place == 0 || (flags & BMAP_RET_UNINIT) != 0;
  if (place == 0) {
    error = ext2fs_bmap2(fs_, number, inode.small(), nullptr, BMAP_ALLOC, block, nullptr, &place);
  } else if (is_new) {
    error = ext2fs_bmap2(fs_, number, inode.small(), nullptr, BMAP_SET, block, nullptr, &place);
  }
  at = place * fs_->blocksize;
  return error != 0 ? error_number(error) : place == 0 ? EIO : 0;
}

// Within one block.
int Volume::write_block(ext2_ino_t number, Inode& inode, std::uint64_t offset,
                        std::span<const std::byte> from) {
  bool is_new = false;
  std::uint64_t at = 0;
  if (const int failed = map(number, inode, offset / fs_->blocksize, is_new, at)) {
    return failed;
  }
  if (is_new && from.size() != fs_->blocksize) {
    if (const int failed = cache_->zero(at, fs_->blocksize)) {
      return failed;
    }
  }
  return cache_->write(at + offset % fs_->blocksize, from.data(), from.size());
}

// Whether writing the range takes no block.
bool Volume::has_blocks(ext2_ino_t number, Inode& inode, std::uint64_t offset, std::uint64_t size) {
  const std::uint64_t end = offset + size;
  for (std::uint64_t at = offset; at < end; at += fs_->blocksize - at % fs_->blocksize) {
    int flags = 0;
    blk64_t place = 0;
    if (ext2fs_bmap2(fs_, number, inode.small(), nullptr, 0, at / fs_->blocksize, &flags, &place) !=
            0 ||
        place == 0 || (flags & BMAP_RET_UNINIT) != 0) {
      return false;
    }
  }
  return true;
}

int Volume::write(ext2_ino_t number, std::uint64_t offset, std::span<const std::byte> from,
                  std::uint64_t& done) {
  Inode inode;
  done = 0;
  int failed = may_write();
  if (failed == 0) {
    failed = read_inode(number, inode);
  }
  if (failed != 0) {
    return failed;
  }
  if (!LINUX_S_ISREG(inode.i_mode)) {
    return EIO;
  }
  if (offset > most_bytes(inode) || from.size() > most_bytes(inode) - offset) {
    return EFBIG;
  }
  const bool may_fill = !has_room(from.size() / fs_->blocksize + 2);
  while (done < from.size() && failed == 0) {
    const std::uint64_t count = std::min<std::uint64_t>(
        from.size() - done, fs_->blocksize - (offset + done) % fs_->blocksize);
    if (may_fill && !has_room(2) && !has_blocks(number, inode, offset + done, count)) {
      break;
    }
    failed = write_block(number, inode, offset + done, from.subspan(done, count));
    done += count;
  }
  if (done == 0) {
    return from.empty() ? 0 : ENOSPC;
  }
  const std::uint64_t end = offset + done;
  if (failed == 0 && end > EXT2_I_SIZE(&inode)) {
    failed =
        error_number(ext2fs_inode_size_set(fs_, inode.small(), static_cast<ext2_off64_t>(end)));
  }
  touch(inode, true);
  return settle(failed != 0 ? failed : write_inode(number, inode));
}

// Zeroes bytes within one block, if that exists.
int Volume::zero_part(ext2_ino_t number, Inode& inode, std::uint64_t from, std::uint64_t to) {
  int flags = 0;
  blk64_t place = 0;
  if (from == to) {
    return 0;
  }
  if (const errcode_t error = ext2fs_bmap2(fs_, number, inode.small(), nullptr, 0,
                                           from / fs_->blocksize, &flags, &place)) {
    return error_number(error);
  }
  return place == 0 || (flags & BMAP_RET_UNINIT) != 0
             ? 0
             : cache_->zero(place * fs_->blocksize + from % fs_->blocksize, to - from);
}

// Frees the blocks past `size`, the last first, so that each step leaves a whole file system.
int Volume::free_from(ext2_ino_t number, Inode& inode, std::uint64_t size, std::uint64_t old_size) {
  const std::uint64_t first = (size + fs_->blocksize - 1) / fs_->blocksize;
  // The size may be anything on a damaged disk, but no file has more.
  std::uint64_t last =
      (std::min(old_size, most_bytes(inode)) + fs_->blocksize - 1) / fs_->blocksize;
  std::uint64_t end = ~std::uint64_t{0};  // what lies past the old size goes too
  for (;;) {
    const std::uint64_t step = last > first + kStepBlocks ? last - kStepBlocks : first;
    if (const errcode_t error = ext2fs_punch(fs_, number, inode.small(), nullptr, step, end)) {
      return error_number(error);
    }
    if (step == first) {
      return 0;
    }
    if (cache_->dirty_count() > cache_->capacity() / 4) {
      if (const int failed = write_inode(number, inode); failed != 0 || settle(0) != 0) {
        return EIO;
      }
    }
    last = step;
    end = step - 1;
    cache_->set_budget(~std::uint64_t{0});
  }
}

int Volume::do_truncate(ext2_ino_t number, std::uint64_t size) {
  Inode inode;
  if (const int failed = read_inode(number, inode)) {
    return failed;
  }
  const std::uint64_t old_size = EXT2_I_SIZE(&inode);
  if (has_map(fs_, inode.small()) && size <= old_size) {
    const std::uint64_t block_end = (size + fs_->blocksize - 1) / fs_->blocksize * fs_->blocksize;
    if (const int failed = zero_part(number, inode, size, block_end)) {
      return failed;
    }
    if (const int failed = free_from(number, inode, size, old_size)) {
      return failed;
    }
  }
  if (const errcode_t error =
          ext2fs_inode_size_set(fs_, inode.small(), static_cast<ext2_off64_t>(size))) {
    return error_number(error);
  }
  touch(inode, true);
  return write_inode(number, inode);
}

int Volume::truncate(ext2_ino_t number, std::uint64_t size) {
  if (const int failed = may_write()) {
    return failed;
  }
  Inode inode;
  if (const int failed = read_inode(number, inode)) {
    return failed;
  }
  if (size > most_bytes(inode)) {
    return EFBIG;
  }
  return LINUX_S_ISREG(inode.i_mode) ? settle(do_truncate(number, size)) : EIO;
}

int Volume::set_attributes(ext2_ino_t number, const InodeRecord& record) {
  Inode inode;
  int failed = may_write();
  if (failed == 0) {
    failed = read_inode(number, inode);
  }
  if (failed != 0) {
    return failed;
  }
  inode.i_mode = static_cast<__u16>((inode.i_mode & LINUX_S_IFMT) | (record.mode & 07777));
  inode.i_uid = static_cast<__u16>(record.user);
  inode.osd2.linux2.l_i_uid_high = static_cast<__u16>(record.user >> 16);
  inode.i_gid = static_cast<__u16>(record.group);
  inode.osd2.linux2.l_i_gid_high = static_cast<__u16>(record.group >> 16);
  set_time(inode, kAccessed, record.accessed);
  set_time(inode, kModified, record.modified);
  set_time(inode, kChanged, record.changed);
  return settle(write_inode(number, inode));
}

}  // namespace ext4
