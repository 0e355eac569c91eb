#include <algorithm>
#include <cerrno>

#include "guest-kernel/ext4/library_io.h"
#include "guest-kernel/ext4/volume.h"

// Ranges of files: where they have blocks, and where not.
namespace ext4 {
namespace {

// The extents of an inode, in order.
class Extents {
 public:
  Extents(ext2_filsys fs, ext2_ino_t number, ext2_inode* inode) {
    error_ = ext2fs_extent_open2(fs, number, inode, &handle_);
  }
  Extents(const Extents&) = delete;
  Extents& operator=(const Extents&) = delete;
  ~Extents() {
    if (handle_ != nullptr) {
      ext2fs_extent_free(handle_);
    }
  }

  // Goes to the one that has a block, or to a neighbour.
  void go_to(std::uint64_t block) {
    if (error_ == 0) {
      error_ = ext2fs_extent_goto(handle_, block);
      next_ = EXT2_EXTENT_CURRENT;
      if (error_ == EXT2_ET_EXTENT_NOT_FOUND) {
        error_ = 0;
      }
    }
  }
  // The one at hand; the next time the one after it. False: there is none, or error() says why.
  bool next(ext2fs_extent& extent) {
    if (error_ == 0) {
      error_ = ext2fs_extent_get(handle_, next_, &extent);
      next_ = EXT2_EXTENT_NEXT_LEAF;
    }
    return error_ == 0;
  }
  int error() const {
    return error_ == EXT2_ET_EXTENT_NO_NEXT || error_ == EXT2_ET_NO_CURRENT_NODE
               ? 0
               : error_number(error_);
  }

 private:
  ext2_extent_handle_t handle_ = nullptr;
  errcode_t error_ = 0;
  int next_ = EXT2_EXTENT_CURRENT;
};

}  // namespace

int Volume::start_range(ext2_ino_t number, Inode& inode, std::uint64_t offset, std::uint64_t size) {
  int failed = may_write();
  if (failed == 0) {
    failed = read_inode(number, inode);
  }
  if (failed != 0) {
    return failed;
  }
  if (!LINUX_S_ISREG(inode.i_mode) || size == 0) {
    return EIO;
  }
  return offset > most_bytes(inode) || size > most_bytes(inode) - offset ? EFBIG : 0;
}

int Volume::do_allocate(ext2_ino_t number, Inode& inode, bool keep_size, std::uint64_t offset,
                        std::uint64_t size) {
  const std::uint64_t first = offset / fs_->blocksize;
  const std::uint64_t count = (offset + size - 1) / fs_->blocksize - first + 1;
  const int failed = error_number(ext2fs_fallocate(fs_, EXT2_FALLOCATE_FORCE_UNINIT, number,
                                                   inode.small(), ~blk64_t{0}, first, count));
  return failed != 0 || keep_size || offset + size <= EXT2_I_SIZE(&inode)
             ? failed
             : error_number(ext2fs_inode_size_set(fs_, inode.small(),
                                                  static_cast<ext2_off64_t>(offset + size)));
}

int Volume::allocate(ext2_ino_t number, bool keep_size, std::uint64_t offset, std::uint64_t size) {
  Inode inode;
  if (const int failed = start_range(number, inode, offset, size)) {
    return failed;
  }
  if ((inode.i_flags & EXT4_EXTENTS_FL) == 0) {
    return EOPNOTSUPP;
  }
  const std::uint64_t count = size / fs_->blocksize + 2;
  if (!has_room(count + count / 64)) {
    return ENOSPC;
  }
  const int failed = do_allocate(number, inode, keep_size, offset, size);
  touch(inode, false);
  return settle(failed != 0 ? failed : write_inode(number, inode));
}

// Frees the whole blocks of a range, as far as the file goes, and zeroes the rest.
int Volume::do_punch(ext2_ino_t number, Inode& inode, std::uint64_t offset, std::uint64_t size) {
  const std::uint64_t unit = fs_->blocksize;
  const std::uint64_t file_end = (EXT2_I_SIZE(&inode) + unit - 1) / unit * unit;
  const std::uint64_t end = std::min(offset + size, file_end);
  if (offset >= end) {
    return 0;
  }
  const std::uint64_t first = (offset + unit - 1) / unit;
  const std::uint64_t last = end / unit;
  if (first > last) {
    return zero_part(number, inode, offset, end);
  }
  int failed = zero_part(number, inode, offset, first * unit);
  failed = failed != 0 ? failed : zero_part(number, inode, last * unit, end);
  return failed != 0 || first == last
             ? failed
             : error_number(ext2fs_punch(fs_, number, inode.small(), nullptr, first, last - 1));
}

int Volume::punch(ext2_ino_t number, std::uint64_t offset, std::uint64_t size) {
  Inode inode;
  if (const int failed = start_range(number, inode, offset, size)) {
    return failed;
  }
  const int failed = do_punch(number, inode, offset, size);
  touch(inode, true);
  return settle(failed != 0 ? failed : write_inode(number, inode));
}

int Volume::zero_range(ext2_ino_t number, bool keep_size, std::uint64_t offset,
                       std::uint64_t size) {
  Inode inode;
  if (const int failed = start_range(number, inode, offset, size)) {
    return failed;
  }
  if ((inode.i_flags & EXT4_EXTENTS_FL) == 0) {
    return EOPNOTSUPP;
  }
  const std::uint64_t count = size / fs_->blocksize + 2;
  if (!has_room(count + count / 64)) {
    return ENOSPC;
  }
  int failed = do_punch(number, inode, offset, size);
  failed = failed != 0 ? failed : do_allocate(number, inode, keep_size, offset, size);
  touch(inode, true);
  return settle(failed != 0 ? failed : write_inode(number, inode));
}

int Volume::seek(ext2_ino_t number, bool hole, std::uint64_t offset, std::uint64_t& found) {
  Inode inode;
  if (const int failed = read_inode(number, inode)) {
    return failed;
  }
  const std::uint64_t size = EXT2_I_SIZE(&inode);
  found = size;
  if ((inode.i_flags & EXT4_EXTENTS_FL) == 0) {
    found = hole ? size : offset;
    return 0;
  }
  const std::uint64_t unit = fs_->blocksize;
  std::uint64_t at = offset / unit;
  Extents extents(fs_, number, inode.small());
  extents.go_to(at);
  ext2fs_extent extent;
  bool is_found = false;
  while (!is_found && at * unit < size && extents.next(extent)) {
    const std::uint64_t end = extent.e_lblk + extent.e_len;
    if ((extent.e_flags & EXT2_EXTENT_FLAGS_LEAF) == 0 || end <= at) {
      continue;
    }
    // What was allocated and never written is a hole.
    const bool has_data = (extent.e_flags & EXT2_EXTENT_FLAGS_UNINIT) == 0;
    if (hole) {
      is_found = extent.e_lblk > at || !has_data;
      at = is_found ? at : end;
    } else {
      is_found = has_data;
      at = has_data ? std::max<std::uint64_t>(at, extent.e_lblk) : end;
    }
  }
  if (const int failed = extents.error()) {
    return failed;
  }
  if (is_found || hole) {
    found = std::min(size, std::max(offset, at * unit));
  }
  return 0;
}

}  // namespace ext4
