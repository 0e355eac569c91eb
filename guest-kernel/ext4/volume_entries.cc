#include <cerrno>
#include <cstring>

#include "guest-kernel/ext4/library_io.h"
#include "guest-kernel/ext4/volume.h"

// The entries of directories.
namespace ext4 {
namespace {

int file_type(std::uint32_t mode) {
  switch (mode & LINUX_S_IFMT) {
    case LINUX_S_IFREG:
      return EXT2_FT_REG_FILE;
    case LINUX_S_IFDIR:
      return EXT2_FT_DIR;
    case LINUX_S_IFCHR:
      return EXT2_FT_CHRDEV;
    case LINUX_S_IFBLK:
      return EXT2_FT_BLKDEV;
    case LINUX_S_IFIFO:
      return EXT2_FT_FIFO;
    case LINUX_S_IFSOCK:
      return EXT2_FT_SOCK;
    case LINUX_S_IFLNK:
      return EXT2_FT_SYMLINK;
    default:
      return EXT2_FT_UNKNOWN;
  }
}

std::string_view name_of(const ext2_dir_entry& entry) {
  return {entry.name, static_cast<std::size_t>(ext2fs_dirent_name_len(&entry))};
}

struct Replacement {
  ext2_filsys fs;
  std::string_view name;
  ext2_ino_t inode;
  std::uint32_t mode;
  bool done;
};

int replace_entry(ext2_dir_entry* entry, int /*offset*/, int /*block_size*/, char* /*buffer*/,
                  void* argument) {
  auto& wanted = *static_cast<Replacement*>(argument);
  if (entry->inode == 0 || name_of(*entry) != wanted.name) {
    return 0;
  }
  entry->inode = wanted.inode;
  if (ext2fs_has_feature_filetype(wanted.fs->super)) {
    ext2fs_dirent_set_file_type(entry, file_type(wanted.mode));
  }
  wanted.done = true;
  return DIRENT_CHANGED | DIRENT_ABORT;
}

// The entries alone: what they lead to is read afterwards.
struct Listing {
  std::uint64_t position;
  std::uint64_t at;
  std::span<std::byte> to;
  std::uint64_t used;
};

int list_entry(ext2_dir_entry* entry, int /*offset*/, int /*block_size*/, char* /*buffer*/,
               void* argument) {
  auto& listing = *static_cast<Listing*>(argument);
  const std::string_view name = name_of(*entry);
  if (entry->inode == 0 || name.empty() || name == "." || name == ".." ||
      name.find('/') != name.npos || name.find('\0') != name.npos ||
      listing.at++ < listing.position) {
    return 0;
  }
  const std::size_t size = (sizeof(DirectoryRecord) + name.size() + 7) & ~std::size_t{7};
  if (size > listing.to.size() - listing.used) {
    return DIRENT_ABORT;
  }
  DirectoryRecord record{};
  record.inode.inode = entry->inode;
  record.name_size = name.size();
  std::memcpy(listing.to.data() + listing.used, &record, sizeof(record));
  std::memcpy(listing.to.data() + listing.used + sizeof(record), name.data(), name.size());
  listing.used += size;
  ++listing.position;
  return 0;
}

}  // namespace

int Volume::list(ext2_ino_t directory, std::uint64_t& position, std::span<std::byte> to,
                 std::uint64_t& used) {
  Inode inode;
  if (const int failed = read_directory_inode(directory, inode)) {
    return failed;
  }
  Listing listing{position, 0, to, 0};
  if (const errcode_t error = ext2fs_dir_iterate2(
          fs_, directory, 0, nullptr,
          [](ext2_ino_t, int, ext2_dir_entry* entry, int offset, int size, char* buffer,
             void* argument) { return list_entry(entry, offset, size, buffer, argument); },
          &listing)) {
    return error_number(error);
  }
  for (std::uint64_t at = 0; at < listing.used;) {
    DirectoryRecord record;
    std::memcpy(&record, to.data() + at, sizeof(record));
    // One that leads to nothing sound is shown, without a type: opening it fails.
    InodeRecord inode_record;
    if (get(record.inode.inode, inode_record) == 0) {
      record.inode = inode_record;
    }
    std::memcpy(to.data() + at, &record, sizeof(record));
    at += (sizeof(record) + record.name_size + 7) & ~std::uint64_t{7};
  }
  position = listing.position;
  used = listing.used;
  return 0;
}

int Volume::read_link(ext2_ino_t number, std::span<std::byte> to, std::uint64_t& size) {
  Inode inode;
  if (const int failed = read_inode(number, inode)) {
    return failed;
  }
  size = EXT2_I_SIZE(&inode);
  if (!LINUX_S_ISLNK(inode.i_mode) || size == 0 || size >= fs_->blocksize || size > to.size()) {
    return EIO;
  }
  if (ext2fs_is_fast_symlink(inode.small()) != 0) {
    if (size > sizeof(inode.i_block)) {
      return EIO;
    }
    std::memcpy(to.data(), inode.i_block, size);
    return 0;
  }
  return read(number, 0, to.first(size));
}

int Volume::add_entry(ext2_ino_t directory, const char* name, ext2_ino_t number,
                      std::uint32_t mode) {
  errcode_t error = ext2fs_link(fs_, directory, name, number, file_type(mode));
  if (error == EXT2_ET_DIR_NO_SPACE) {
    error = ext2fs_expand_dir(fs_, directory);
    if (error == 0) {
      error = ext2fs_link(fs_, directory, name, number, file_type(mode));
    }
  }
  return error_number(error);
}

int Volume::set_entry(ext2_ino_t directory, std::string_view name, ext2_ino_t number,
                      std::uint32_t mode) {
  Replacement replacement{fs_, name, number, mode, false};
  const errcode_t error = ext2fs_dir_iterate2(
      fs_, directory, 0, nullptr,
      [](ext2_ino_t, int, ext2_dir_entry* entry, int offset, int size, char* buffer,
         void* argument) { return replace_entry(entry, offset, size, buffer, argument); },
      &replacement);
  return error != 0 ? error_number(error) : replacement.done ? 0 : EIO;
}

}  // namespace ext4
