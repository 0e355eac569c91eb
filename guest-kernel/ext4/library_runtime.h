#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ext4 {

// Gives libext2fs.a, which was made for a C library, its memory. Before its first use.
void start_library(std::span<std::byte> memory);
// What time() says from now on: nanoseconds since 1970.
void set_library_time(std::int64_t now);

}  // namespace ext4
