#pragma once

#include <cstddef>
#include <cstdint>

namespace ext4 {

// CRC-32C (Castagnoli) without the inversions at either end, as ext4 and its journal use it.
std::uint32_t crc32c(std::uint32_t seed, const void* bytes, std::size_t size);

}  // namespace ext4
