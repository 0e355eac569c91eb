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

// The name of an archive's first entry if that one is an index: its content is a newc archive
// without contents, of the headers and names of all other entries that matter. The device fields
// (major, then minor) of each are one 64-bit number: the offset of its content in the whole
// archive. Who reads the index need not touch a page for each file.
inline constexpr std::string_view kCpioIndexName = ".newc-index";

enum class CpioError : std::uint8_t { kNone, kTruncated, kBadMagic, kBadNumber, kBadName };

class CpioReader {
 public:
  explicit CpioReader(std::span<const std::byte> archive) : archive_(archive), headers_(archive) {}

  // The next entry; nullopt at the end: error() then says if that was the trailer. Entry views
  // point into the archive. The entries are those of the index where there is one.
  std::optional<CpioEntry> next();

  CpioError error() const { return error_; }
  // Where the next entry starts; after the trailer, the archive's size without its padding. Of the
  // index where there is one.
  std::size_t position() const { return position_; }

 private:
  std::optional<CpioEntry> fail(CpioError error);

  std::span<const std::byte> archive_;
  std::span<const std::byte> headers_;  // the archive or its index
  bool indexed_ = false;
  std::size_t position_ = 0;
  CpioError error_ = CpioError::kNone;
  bool ended_ = false;
};

// The entry with that name, or nullopt.
std::optional<CpioEntry> find_in_cpio(std::span<const std::byte> archive, std::string_view name);

const char* cpio_error_text(CpioError error);

}  // namespace guest
