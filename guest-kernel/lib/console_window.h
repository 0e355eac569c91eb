#pragma once

#include <atomic>
#include <cstdint>

namespace guest {

// Where the terminal's size lies in the memory that a console driver and its client share, behind
// ConsoleShared (device_protocol.h): columns | rows << 16, or 0 where nobody knows it. The driver
// writes it and signals its client.
inline constexpr std::uint64_t kConsoleWindowOffset = 1024;
using ConsoleWindow = std::atomic<std::uint32_t>;

}  // namespace guest
