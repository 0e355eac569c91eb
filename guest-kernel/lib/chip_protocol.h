#pragma once

#include <array>
#include <atomic>
#include <cstdint>

// What the driver of a chip and its one client share: a page. The client asks for one channel at a
// time: it writes `channel`, then `asked`, and signals the driver's port. The driver writes the
// answer, then `answered`, and signals the client. Both numbers only ever change by one.
namespace guest {

struct ChipShared {
  std::atomic<std::uint32_t> asked;  // requests, by the client
  std::uint32_t channel;             // of the latest

  alignas(64) std::atomic<std::uint32_t> answered;  // requests, by the driver
  std::int32_t error;                               // an errno; 0: there is a text
  std::uint32_t size;                               // of the text
  std::array<char, 2048> text;
};
inline constexpr std::uint64_t kChipSharedSize = 4096;
static_assert(sizeof(ChipShared) <= kChipSharedSize);

}  // namespace guest
