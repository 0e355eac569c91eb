#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

// Reader of newc archives ("070701", as Linux's initramfs has them). Every field is untrusted.
namespace guest {

struct CpioEntry {
  std::string_view name;  // up to its first NUL; no leading "/" or "./" is removed
  std::uint32_t mode;     // file type and permissions, as in struct stat
  std::uint32_t inode;
  std::uint32_t links;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint32_t modification_time;
  std::uint32_t device_major;  // of the archive's file system: with `inode`, names hard links
  std::uint32_t device_minor;
  std::uint32_t special_major;  // of a device node
  std::uint32_t special_minor;
  std::size_t offset;                  // of the content in the archive
  std::span<const std::byte> content;  // a symbolic link's target, or the file's bytes
};

enum class CpioError : std::uint8_t { kNone, kTruncated, kBadMagic, kBadNumber, kBadName };

class CpioReader {
 public:
  explicit CpioReader(std::span<const std::byte> archive) : archive_(archive) {}

  // The next entry; nullopt at the end: error() then says if that was the trailer. Entry views
  // point into the archive.
  std::optional<CpioEntry> next();

  CpioError error() const { return error_; }
  // Where the next entry starts; after the trailer, the archive's size without its padding.
  std::size_t position() const { return position_; }

 private:
  std::optional<CpioEntry> fail(CpioError error);

  std::span<const std::byte> archive_;
  std::size_t position_ = 0;
  CpioError error_ = CpioError::kNone;
  bool ended_ = false;
};

// The entry with that name, or nullopt.
std::optional<CpioEntry> find_in_cpio(std::span<const std::byte> archive, std::string_view name);

const char* cpio_error_text(CpioError error);

}  // namespace guest
