#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "guest-kernel/linux/server/user_buffer.h"

namespace linux_server {

// Random bytes: a ChaCha20 generator (RFC 8439) that replaces its key after every request, seeded
// from the processor's RDRAND, the entropy driver and the time stamp counter.
class Random {
 public:
  // The processor has the instruction.
  static bool has_rdrand();
  void fill(std::span<std::byte> bytes);
  // Returns the bytes filled, or -EFAULT.
  std::int64_t fill_user(const UserBuffer& buffer);

 private:
  void seed();
  void mix(std::uint64_t value);
  void next_block();

  std::array<std::uint32_t, 8> key_ = {};
  std::uint64_t counter_ = 0;
  std::array<std::uint32_t, 16> block_ = {};
  std::size_t mixed_ = 0;
  bool seeded_ = false;
};

}  // namespace linux_server
