#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "guest-kernel/ext4/library_io.h"
#include "guest-kernel/ext4/volume.h"

// Extended attributes.
namespace ext4 {
namespace {

int attribute_error(errcode_t error) {
  switch (error) {
    case EXT2_ET_EA_KEY_NOT_FOUND:
      return ENODATA;
    case EXT2_ET_EA_NO_SPACE:
      return ENOSPC;
    case EXT2_ET_MISSING_EA_FEATURE:
      return EOPNOTSUPP;
    default:
      return error_number(error);
  }
}

// The attributes of an inode, read.
class Attributes {
 public:
  Attributes(ext2_filsys fs, ext2_ino_t number) {
    error_ = ext2fs_xattrs_open(fs, number, &handle_);
    if (error_ == 0) {
      error_ = ext2fs_xattrs_read(handle_);
    }
  }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  ~Attributes() {
    if (handle_ != nullptr) {
      ext2fs_xattrs_close(&handle_);
    }
  }

  int error() const { return attribute_error(error_); }
  ext2_xattr_handle* handle() { return handle_; }

 private:
  ext2_xattr_handle* handle_ = nullptr;
  errcode_t error_ = 0;
};

// A name as the library wants it; empty if it is too long.
class Key {
 public:
  explicit Key(std::string_view name) {
    if (name.size() < text_.size()) {
      std::copy(name.begin(), name.end(), text_.begin());
    }
  }
  const char* get() const { return text_.data(); }
  explicit operator bool() const { return text_[0] != 0; }

 private:
  std::array<char, 256> text_{};
};

struct Names {
  std::span<std::byte> to;
  std::uint64_t size;
};

int take_name(char* name, char* /*value*/, size_t /*size*/, void* argument) {
  auto& names = *static_cast<Names*>(argument);
  const std::size_t length = std::strlen(name) + 1;
  if (names.size + length <= names.to.size()) {
    std::memcpy(names.to.data() + names.size, name, length);
  }
  names.size += length;
  return 0;
}

}  // namespace

int Volume::get_attribute(ext2_ino_t number, std::string_view name, std::span<std::byte> to,
                          std::uint64_t& size) {
  Inode inode;
  size = 0;
  if (const int failed = read_inode(number, inode)) {
    return failed;
  }
  const Key key(name);
  Attributes attributes(fs_, number);
  if (attributes.error() != 0 || !key) {
    return attributes.error() != 0 ? attributes.error() : ENODATA;
  }
  void* value = nullptr;
  size_t length = 0;
  if (const errcode_t error = ext2fs_xattr_get(attributes.handle(), key.get(), &value, &length)) {
    return attribute_error(error);
  }
  size = length;
  if (length <= to.size()) {
    std::memcpy(to.data(), value, length);
  }
  ext2fs_free_mem(&value);
  return length <= to.size() ? 0 : ERANGE;
}

int Volume::list_attributes(ext2_ino_t number, std::span<std::byte> to, std::uint64_t& size) {
  Inode inode;
  size = 0;
  if (const int failed = read_inode(number, inode)) {
    return failed;
  }
  Attributes attributes(fs_, number);
  if (attributes.error() != 0) {
    return attributes.error() == EOPNOTSUPP ? 0 : attributes.error();
  }
  Names names{to, 0};
  if (const errcode_t error = ext2fs_xattrs_iterate(attributes.handle(), take_name, &names)) {
    return attribute_error(error);
  }
  size = names.size;
  return size <= to.size() ? 0 : ERANGE;
}

// The library has written the inode itself.
int Volume::touch_attributes(ext2_ino_t number) {
  Inode inode;
  if (const int failed = read_inode(number, inode)) {
    return failed;
  }
  touch(inode, false);
  return write_inode(number, inode);
}

int Volume::set_attribute(ext2_ino_t number, std::string_view name,
                          std::span<const std::byte> value) {
  Inode inode;
  int failed = may_write();
  if (failed == 0) {
    failed = read_inode(number, inode);
  }
  if (failed != 0) {
    return failed;
  }
  const Key key(name);
  Attributes attributes(fs_, number);
  if (attributes.error() != 0 || !key) {
    return attributes.error() != 0 ? attributes.error() : EINVAL;
  }
  if (!has_room(2) || value.size() > fs_->blocksize) {
    return ENOSPC;
  }
  failed =
      attribute_error(ext2fs_xattr_set(attributes.handle(), key.get(), value.data(), value.size()));
  if (failed == ENOSPC) {
    // It does not fit beside the others: nothing was changed.
    return failed;
  }
  return settle(failed != 0 ? failed : touch_attributes(number));
}

int Volume::remove_attribute(ext2_ino_t number, std::string_view name) {
  Inode inode;
  int failed = may_write();
  if (failed == 0) {
    failed = read_inode(number, inode);
  }
  if (failed != 0) {
    return failed;
  }
  const Key key(name);
  Attributes attributes(fs_, number);
  if (attributes.error() != 0 || !key) {
    return attributes.error() != 0 ? attributes.error() : ENODATA;
  }
  void* value = nullptr;
  size_t length = 0;
  if (const errcode_t error = ext2fs_xattr_get(attributes.handle(), key.get(), &value, &length)) {
    return attribute_error(error);
  }
  ext2fs_free_mem(&value);
  failed = attribute_error(ext2fs_xattr_remove(attributes.handle(), key.get()));
  return settle(failed != 0 ? failed : touch_attributes(number));
}

}  // namespace ext4
