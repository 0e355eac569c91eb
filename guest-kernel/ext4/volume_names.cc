#include <algorithm>
#include <cerrno>
#include <cstring>

#include "guest-kernel/ext4/library_io.h"
#include "guest-kernel/ext4/volume.h"

// What gets a name, another or none.
namespace ext4 {
namespace {

constexpr std::uint32_t kMostLinks = 65000;

// A name for the library, which wants its end marked.
class NameCopy {
 public:
  explicit NameCopy(std::string_view name) {
    is_good_ = !name.empty() && name.size() <= EXT2_NAME_LEN;
    if (is_good_) {
      std::copy(name.begin(), name.end(), bytes_.begin());
    }
  }
  explicit operator bool() const { return is_good_; }
  const char* get() const { return bytes_.data(); }

 private:
  std::array<char, EXT2_NAME_LEN + 1> bytes_{};
  bool is_good_ = false;
};

}  // namespace

int Volume::touch_directory(ext2_ino_t directory, int more_links) {
  Inode inode;
  if (const int failed = read_directory_inode(directory, inode)) {
    return failed;
  }
  inode.i_links_count = static_cast<__u16>(inode.i_links_count + more_links);
  touch(inode, true);
  return write_inode(directory, inode);
}

int Volume::make_inode(ext2_ino_t directory, const char* name, const InodeRecord& what,
                       std::string_view target, ext2_ino_t& made) {
  const std::uint32_t type = what.mode & LINUX_S_IFMT;
  ext2_ino_t number = 0;
  errcode_t error = ext2fs_new_inode(fs_, directory, static_cast<int>(what.mode), nullptr, &number);
  if (error != 0) {
    return error_number(error);
  }
  Inode inode;
  std::memset(static_cast<ext2_inode_large*>(&inode), 0, sizeof(ext2_inode_large));
  if (type == LINUX_S_IFDIR || type == LINUX_S_IFLNK) {
    std::array<char, 4096> text{};
    std::copy(target.begin(), target.end(), text.begin());
    const auto make = [&] {
      return type == LINUX_S_IFDIR ? ext2fs_mkdir(fs_, directory, number, name)
                                   : ext2fs_symlink(fs_, directory, number, name, text.data());
    };
    error = make();
    if (error == EXT2_ET_DIR_NO_SPACE) {
      error = ext2fs_expand_dir(fs_, directory);
      error = error != 0 ? error : make();
    }
    if (error != 0) {
      return error_number(error);
    }
    if (const int failed = read_inode(number, inode)) {
      return failed;
    }
  } else {
    // What had the number before may have left attributes behind.
    const auto blank = scratch_.subspan(2 * 4096, EXT2_INODE_SIZE(fs_->super));
    std::fill(blank.begin(), blank.end(), std::byte{});
    error = ext2fs_write_inode_full(fs_, number, reinterpret_cast<ext2_inode*>(blank.data()),
                                    static_cast<int>(blank.size()));
    if (error != 0) {
      return error_number(error);
    }
    inode.i_links_count = 1;
    inode.i_extra_isize =
        EXT2_INODE_SIZE(fs_->super) > EXT2_GOOD_OLD_INODE_SIZE
            ? static_cast<__u16>(sizeof(ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE)
            : __u16{0};
    inode.i_mode = static_cast<__u16>(what.mode);
    if (type == LINUX_S_IFREG && ext2fs_has_feature_extents(fs_->super)) {
      ext2_extent_handle_t handle = nullptr;
      error = ext2fs_extent_open2(fs_, number, inode.small(), &handle);
      if (error != 0) {
        return error_number(error);
      }
      ext2fs_extent_free(handle);
    }
    ext2fs_inode_alloc_stats2(fs_, number, 1, 0);
    if (type == LINUX_S_IFCHR || type == LINUX_S_IFBLK) {
      inode.i_block[what.device_number < 0x10000 ? 0 : 1] = what.device_number;
    }
    if (name != nullptr) {
      if (const int failed = add_entry(directory, name, number, what.mode)) {
        return failed;
      }
    }
  }
  mark_group(static_cast<dgrp_t>(ext2fs_group_of_ino(fs_, number)), true);
  inode.i_mode = static_cast<__u16>(what.mode);
  inode.i_uid = static_cast<__u16>(what.user);
  inode.osd2.linux2.l_i_uid_high = static_cast<__u16>(what.user >> 16);
  inode.i_gid = static_cast<__u16>(what.group);
  inode.osd2.linux2.l_i_gid_high = static_cast<__u16>(what.group >> 16);
  for (const int which : {0, 1, 2, 3}) {
    set_time(inode, which, now_);
  }
  made = number;
  if (name == nullptr) {
    inode.i_links_count = 0;
    return add_orphan(number, inode);
  }
  const int failed = write_inode(number, inode);
  return failed != 0 ? failed : touch_directory(directory, 0);
}

int Volume::create(ext2_ino_t directory, std::string_view name, const InodeRecord& what,
                   std::string_view target, ext2_ino_t& made) {
  Inode inode;
  int failed = may_write();
  if (failed == 0) {
    failed = read_directory_inode(directory, inode);
  }
  if (failed != 0) {
    return failed;
  }
  const NameCopy copy(name);
  if (!name.empty() && !copy) {
    return ENAMETOOLONG;
  }
  if ((what.mode & LINUX_S_IFMT) == LINUX_S_IFDIR && inode.i_links_count >= kMostLinks) {
    return EMLINK;
  }
  if (target.size() >= std::min<std::size_t>(fs_->blocksize, 4096)) {
    return ENAMETOOLONG;
  }
  if (!has_room(4) || fs_->super->s_free_inodes_count == 0) {
    return ENOSPC;
  }
  return settle(make_inode(directory, name.empty() ? nullptr : copy.get(), what, target, made));
}

int Volume::link(ext2_ino_t directory, std::string_view name, ext2_ino_t number) {
  Inode inode;
  Inode parent;
  int failed = may_write();
  if (failed == 0) {
    failed = read_inode(number, inode);
  }
  if (failed == 0) {
    failed = read_directory_inode(directory, parent);
  }
  if (failed != 0) {
    return failed;
  }
  const NameCopy copy(name);
  if (!copy) {
    return ENAMETOOLONG;
  }
  if (inode.i_links_count >= kMostLinks) {
    return EMLINK;
  }
  if (!has_room(2)) {
    return ENOSPC;
  }
  if (inode.i_links_count == 0) {
    failed = remove_orphan(number);
    failed = failed != 0 ? failed : read_inode(number, inode);
    inode.i_dtime = 0;
  }
  ++inode.i_links_count;
  touch(inode, false);
  failed = failed != 0 ? failed : write_inode(number, inode);
  failed = failed != 0 ? failed : add_entry(directory, copy.get(), number, inode.i_mode);
  return settle(failed != 0 ? failed : touch_directory(directory, 0));
}

int Volume::drop_link(ext2_ino_t number, bool is_directory) {
  Inode inode;
  if (const int failed = read_inode(number, inode)) {
    return failed;
  }
  inode.i_links_count =
      static_cast<__u16>(is_directory || inode.i_links_count == 0 ? 0 : inode.i_links_count - 1);
  touch(inode, false);
  return inode.i_links_count == 0 ? add_orphan(number, inode) : write_inode(number, inode);
}

int Volume::remove(ext2_ino_t directory, std::string_view name, ext2_ino_t number) {
  Inode inode;
  int failed = may_write();
  if (failed == 0) {
    failed = read_inode(number, inode);
  }
  if (failed != 0) {
    return failed;
  }
  const NameCopy copy(name);
  if (!copy) {
    return ENAMETOOLONG;
  }
  const bool is_directory = LINUX_S_ISDIR(inode.i_mode);
  failed = error_number(ext2fs_unlink(fs_, directory, copy.get(), number, 0));
  failed = failed != 0 ? failed : touch_directory(directory, is_directory ? -1 : 0);
  return settle(failed != 0 ? failed : drop_link(number, is_directory));
}

int Volume::do_rename(const RenameRecord& what, const char* name, const char* new_name) {
  Inode moved;
  Inode existing;
  int failed = read_inode(what.inode, moved);
  if (failed == 0 && what.existing != 0) {
    failed = read_inode(what.existing, existing);
  }
  const auto then = [&failed](auto&& step) { failed = failed != 0 ? failed : step(); };
  const bool moves_directory = LINUX_S_ISDIR(moved.i_mode);
  const bool over_directory = what.existing != 0 && LINUX_S_ISDIR(existing.i_mode);
  const bool elsewhere = what.directory != what.new_directory;
  if (what.existing != 0) {
    then([&] { return set_entry(what.new_directory, new_name, what.inode, moved.i_mode); });
  } else {
    then([&] { return add_entry(what.new_directory, new_name, what.inode, moved.i_mode); });
  }
  if (what.exchange != 0) {
    then([&] { return set_entry(what.directory, name, what.existing, existing.i_mode); });
  } else {
    then([&] { return error_number(ext2fs_unlink(fs_, what.directory, name, what.inode, 0)); });
  }
  if (elsewhere && moves_directory) {
    then([&] { return set_entry(what.inode, "..", what.new_directory, LINUX_S_IFDIR); });
  }
  if (elsewhere && over_directory && what.exchange != 0) {
    then([&] { return set_entry(what.existing, "..", what.directory, LINUX_S_IFDIR); });
  }
  const int away = (moves_directory ? 1 : 0) - (over_directory && what.exchange != 0 ? 1 : 0);
  const int here = (moves_directory ? 1 : 0) - (over_directory ? 1 : 0);
  then([&] { return touch_directory(what.directory, elsewhere ? -away : here - away); });
  if (elsewhere) {
    then([&] { return touch_directory(what.new_directory, here); });
  }
  then([&] {
    if (const int wrong = read_inode(what.inode, moved)) {
      return wrong;
    }
    touch(moved, false);
    return write_inode(what.inode, moved);
  });
  if (what.existing != 0 && what.exchange == 0) {
    then([&] { return drop_link(what.existing, over_directory); });
  }
  return failed;
}

int Volume::rename(const RenameRecord& what, std::string_view name, std::string_view new_name) {
  if (const int failed = may_write()) {
    return failed;
  }
  const NameCopy from(name);
  const NameCopy to(new_name);
  if (!from || !to) {
    return ENAMETOOLONG;
  }
  Inode target;
  if (const int failed = read_directory_inode(what.new_directory, target)) {
    return failed;
  }
  if (what.directory != what.new_directory && target.i_links_count >= kMostLinks) {
    return EMLINK;
  }
  if (!has_room(2)) {
    return ENOSPC;
  }
  return settle(do_rename(what, from.get(), to.get()));
}

// The list of inodes without a name goes through the field that a deleted one has its time in.
int Volume::add_orphan(ext2_ino_t number, Inode& inode) {
  inode.i_dtime = fs_->super->s_last_orphan;
  fs_->super->s_last_orphan = number;
  ext2fs_mark_super_dirty(fs_);
  return write_inode(number, inode);
}

int Volume::remove_orphan(ext2_ino_t number) {
  Inode inode;
  if (const int failed = read_inode(number, inode)) {
    return failed;
  }
  const ext2_ino_t next = inode.i_dtime;
  inode.i_dtime = 0;
  if (const int failed = write_inode(number, inode)) {
    return failed;
  }
  if (fs_->super->s_last_orphan == number) {
    fs_->super->s_last_orphan = next;
    ext2fs_mark_super_dirty(fs_);
    return 0;
  }
  ext2_ino_t at = fs_->super->s_last_orphan;
  for (std::uint32_t left = fs_->super->s_inodes_count; at != 0 && left != 0; --left) {
    if (const int failed = read_inode(at, inode)) {
      return failed;
    }
    if (inode.i_dtime == number) {
      inode.i_dtime = next;
      return write_inode(at, inode);
    }
    at = inode.i_dtime;
  }
  return EIO;
}

int Volume::do_release(ext2_ino_t number) {
  Inode inode;
  if (const int failed = read_inode(number, inode)) {
    return failed;
  }
  const bool is_directory = LINUX_S_ISDIR(inode.i_mode);
  if (ext2fs_inode_has_valid_blocks2(fs_, inode.small()) != 0) {
    if (const int failed = free_from(number, inode, 0, EXT2_I_SIZE(&inode))) {
      return failed;
    }
    if (const errcode_t error = ext2fs_inode_size_set(fs_, inode.small(), 0)) {
      return error_number(error);
    }
  }
  if (ext2fs_file_acl_block(fs_, inode.small()) != 0) {
    if (const errcode_t error = ext2fs_free_ext_attr(fs_, number, &inode)) {
      return error_number(error);
    }
  }
  int failed = write_inode(number, inode);
  failed = failed != 0 ? failed : remove_orphan(number);
  failed = failed != 0 ? failed : read_inode(number, inode);
  if (failed != 0) {
    return failed;
  }
  inode.i_dtime = static_cast<std::uint32_t>(now_ / 1'000'000'000);
  ext2fs_inode_alloc_stats2(fs_, number, -1, is_directory ? 1 : 0);
  mark_group(static_cast<dgrp_t>(ext2fs_group_of_ino(fs_, number)), true);
  return write_inode(number, inode);
}

int Volume::release(ext2_ino_t number) {
  Inode inode;
  int failed = may_write();
  if (failed == 0) {
    failed = read_inode(number, inode);
  }
  if (failed != 0) {
    return failed;
  }
  // Anything else would end what still has a name, or what is the file system's own.
  if (inode.i_links_count != 0 || number < EXT2_FIRST_INODE(fs_->super)) {
    return EIO;
  }
  return settle(do_release(number));
}

}  // namespace ext4
