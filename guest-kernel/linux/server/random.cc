#include "guest-kernel/linux/server/random.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

constexpr std::uint32_t kFeatureLeaf = 1;
constexpr std::uint32_t kRdrandBit = 1u << 30;
constexpr unsigned kRdrandTries = 10;
constexpr unsigned kJitterRounds = 64;

bool read_rdrand(std::uint64_t& value) {
  for (unsigned attempt = 0; attempt < kRdrandTries; ++attempt) {
    bool valid = false;
    asm volatile("rdrand %0" : "=r"(value), "=@ccc"(valid));
    if (valid) {
      return true;
    }
  }
  return false;
}

void quarter_round(std::array<std::uint32_t, 16>& s, unsigned a, unsigned b, unsigned c,
                   unsigned d) {
  s[a] += s[b];
  s[d] = std::rotl(s[d] ^ s[a], 16);
  s[c] += s[d];
  s[b] = std::rotl(s[b] ^ s[c], 12);
  s[a] += s[b];
  s[d] = std::rotl(s[d] ^ s[a], 8);
  s[c] += s[d];
  s[b] = std::rotl(s[b] ^ s[c], 7);
}

}  // namespace

void Random::mix(std::uint64_t value) {
  key_[mixed_++ % key_.size()] ^= static_cast<std::uint32_t>(value);
  key_[mixed_++ % key_.size()] ^= static_cast<std::uint32_t>(value >> 32);
}

void Random::next_block() {
  block_ = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  std::copy(key_.begin(), key_.end(), block_.begin() + 4);
  block_[12] = static_cast<std::uint32_t>(counter_);
  block_[13] = static_cast<std::uint32_t>(counter_ >> 32);
  const auto start = block_;
  for (unsigned round = 0; round < 10; ++round) {
    quarter_round(block_, 0, 4, 8, 12);
    quarter_round(block_, 1, 5, 9, 13);
    quarter_round(block_, 2, 6, 10, 14);
    quarter_round(block_, 3, 7, 11, 15);
    quarter_round(block_, 0, 5, 10, 15);
    quarter_round(block_, 1, 6, 11, 12);
    quarter_round(block_, 2, 7, 8, 13);
    quarter_round(block_, 3, 4, 9, 14);
  }
  for (std::size_t index = 0; index < block_.size(); ++index) {
    block_[index] += start[index];
  }
  ++counter_;
}

bool Random::has_rdrand() {
  static constinit bool known = false;
  static constinit bool has = false;
  if (!known) {
    std::uint32_t a = kFeatureLeaf;
    std::uint32_t b = 0;
    std::uint32_t c = 0;
    std::uint32_t d = 0;
    asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    has = (c & kRdrandBit) != 0;
    known = true;
  }
  return has;
}

void Random::seed() {
  const bool rdrand = has_rdrand();
  for (std::size_t index = 0; rdrand && index < key_.size() / 2; ++index) {
    if (std::uint64_t value = 0; read_rdrand(value)) {
      mix(value);
    }
  }
  // The device is asked where the processor has nothing: a call costs a round trip to its driver.
  if (!rdrand) {
    const guest::Resource* entropy = server().late_resource(guest::Role::kEntropy);
    guest::Message message{{guest::kEntropyMaximum}};
    if (entropy != nullptr && guest::call(entropy->slot, message) == guest::Status::kOk &&
        message[0] == static_cast<std::uint64_t>(guest::DeviceStatus::kOk)) {
      for (std::size_t index = 1; index < abi::kMessageWords; ++index) {
        mix(message[index]);
      }
    }
  }
  for (unsigned round = 0; round < kJitterRounds; ++round) {
    mix(std::rotl(guest::read_tsc(), static_cast<int>(round)));
    next_block();
  }
  mix(guest::realtime_ns());
}

void Random::fill(std::span<std::byte> bytes) {
  if (!seeded_) {
    seeded_ = true;
    seed();
  }
  while (!bytes.empty()) {
    next_block();
    const std::size_t count = std::min(bytes.size(), sizeof(block_));
    std::memcpy(bytes.data(), block_.data(), count);
    bytes = bytes.subspan(count);
  }
  // What was given out cannot be worked out from what is left.
  next_block();
  std::copy_n(block_.begin(), key_.size(), key_.begin());
}

std::int64_t Random::fill_user(const UserBuffer& buffer) {
  std::uint64_t done = 0;
  while (done < buffer.size()) {
    const std::span<std::byte> piece = buffer.piece(done, Access::kWrite);
    if (piece.empty()) {
      return done != 0 ? static_cast<std::int64_t>(done) : -EFAULT;
    }
    fill(piece);
    done += piece.size();
  }
  return static_cast<std::int64_t>(done);
}

}  // namespace linux_server
