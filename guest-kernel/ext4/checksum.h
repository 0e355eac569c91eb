#pragma once

#include <cstddef>
#include <cstdint>

namespace ext4 {

// CRC-32C (Castagnoli) without the inversions at either end, as ext4 and its journal use it.
std::uint32_t crc32c(std::uint32_t seed, const void* bytes, std::size_t size);

// CRC-32 from the highest bit on, without inversions: what a journal's commit block has of its
// transaction.
std::uint32_t crc32_be(std::uint32_t seed, const void* bytes, std::size_t size);

}  // namespace ext4
