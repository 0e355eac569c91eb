#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "guest-kernel/lib/byte_ring.h"

// What the driver of a host port and its one client share: 2 MiB, one large page.
namespace guest {

// Output is a ring of bytes, as a console's. Input comes in buffers that the device fills in order,
// each from its start: buffer n is number n % kPortInputBuffers, and `sizes` says how much is in
// it.
//
// Both ends are open or closed by counters that grow by one at each change: odd means open. The
// device promises that no bytes of one connection follow those of another while the client keeps
// its end open, so that the end of input is where all buffers have been read and the host's end is
// closed. The client's closing ends the connection.
inline constexpr std::uint32_t kPortInputBuffers = 16;

struct PortShared {
  ByteRingHeader output;

  alignas(64) std::atomic<std::uint32_t> filled;  // buffers, by the driver
  std::atomic<std::uint32_t> driver_wait;      // 1: wants a signal when half the buffers are empty
  std::atomic<std::uint32_t> host_open;        // by the driver
  std::atomic<std::uint32_t> filled_at_close;  // `filled` when the host's end was closed last
  std::array<std::atomic<std::uint32_t>, kPortInputBuffers> sizes;

  alignas(64) std::atomic<std::uint32_t> emptied;  // buffers, by the client
  std::atomic<std::uint32_t> client_wait;          // 1: wants a signal when there is input
  std::atomic<std::uint32_t> client_open;          // by the client
};

inline constexpr std::uint64_t kPortSharedSize = 0x20'0000;
inline constexpr std::uint64_t kPortOutputOffset = 0x8'0000;
inline constexpr std::uint64_t kPortOutputSize = 0x8'0000;  // power of two
inline constexpr std::uint64_t kPortInputOffset = 0x10'0000;
inline constexpr std::uint64_t kPortInputBufferSize = 0x1'0000;
static_assert(sizeof(PortShared) <= kPortOutputOffset);
static_assert(kPortInputOffset + kPortInputBuffers * kPortInputBufferSize == kPortSharedSize);

constexpr bool is_open(std::uint32_t changes) {
  return changes % 2 != 0;
}

}  // namespace guest
