#include "guest-kernel/ext4/checksum.h"

#include <ext2fs/ext2fs.h>

namespace ext4 {

std::uint32_t crc32c(std::uint32_t seed, const void* bytes, std::size_t size) {
  return ext2fs_crc32c_le(seed, static_cast<const unsigned char*>(bytes), size);
}

std::uint32_t crc32_be(std::uint32_t seed, const void* bytes, std::size_t size) {
  return ext2fs_crc32_be(seed, static_cast<const unsigned char*>(bytes), size);
}

}  // namespace ext4
