#pragma once

#include <compare>
#include <cstdint>

namespace ensemble::device {

// What goes through the queues of a socket device (virtio 1.2, section 5.10.6).

// struct virtio_vsock_hdr.
struct [[gnu::packed]] VsockHeader {
  std::uint64_t source_cid = 0;
  std::uint64_t target_cid = 0;
  std::uint32_t source_port = 0;
  std::uint32_t target_port = 0;
  std::uint32_t size = 0;  // Of what follows.
  std::uint16_t type = 0;
  std::uint16_t operation = 0;
  std::uint32_t flags = 0;
  std::uint32_t buffer_size = 0;      // buf_alloc: room of the sender for what it receives.
  std::uint32_t forwarded_count = 0;  // fwd_cnt: bytes that have left that room.
};
static_assert(sizeof(VsockHeader) == 44);

inline constexpr std::uint16_t kVsockStream = 1;

enum VsockOperation : std::uint16_t {
  kVsockRequest = 1,
  kVsockResponse = 2,
  kVsockReset = 3,
  kVsockShutdown = 4,
  kVsockData = 5,
  kVsockCreditUpdate = 6,
  kVsockCreditRequest = 7,
};

// Flags of kVsockShutdown: the sender will receive, or send, no more.
inline constexpr std::uint32_t kVsockReceivesNoMore = 1;
inline constexpr std::uint32_t kVsockSendsNoMore = 2;
inline constexpr std::uint32_t kVsockEnds = kVsockReceivesNoMore | kVsockSendsNoMore;

// What tells the connections of one guest apart.
struct VsockPorts {
  std::uint32_t guest = 0;
  std::uint32_t host = 0;

  auto operator<=>(const VsockPorts&) const = default;
};

}  // namespace ensemble::device
