#pragma once

#include <array>
#include <atomic>
#include <cstdint>

// What the driver of a chip, or of the clock, and its one client share: a page. The client asks for
// one channel at a time, to be read or to be set to a text: it writes `channel` and the text, then
// `asked`, and signals the driver's port. The driver writes the answer, then `answered`, and
// signals the client. Both numbers only ever change by one. It signals as well when it has counted
// an event.
namespace guest {

struct ChipShared {
  std::atomic<std::uint32_t> asked;  // requests, by the client
  std::uint32_t channel;             // of the latest
  std::uint32_t input_size;          // of what it is to be set to; 0: it is read
  std::array<char, 40> input;

  alignas(64) std::atomic<std::uint32_t> answered;  // requests, by the driver
  std::int32_t error;                               // an errno; 0: there is a text
  std::uint32_t size;                               // of the text
  std::array<char, 2048> text;

  std::array<std::atomic<std::uint32_t>, 2> events;  // how many, by the driver; its own kinds
};
inline constexpr std::uint64_t kChipSharedSize = 4096;
static_assert(sizeof(ChipShared) <= kChipSharedSize);

}  // namespace guest
