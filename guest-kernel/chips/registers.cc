#include "guest-kernel/chips/registers.h"

#include <asm/errno.h>

#include <cstring>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/i2c_protocol.h"

namespace chips {
namespace {

int error_of(std::uint64_t status) {
  switch (static_cast<guest::I2cStatus>(status)) {
    case guest::I2cStatus::kOk:
      return 0;
    case guest::I2cStatus::kNoAcknowledge:
      return ENXIO;
    case guest::I2cStatus::kTimedOut:
      return ETIMEDOUT;
    default:
      return EIO;
  }
}

}  // namespace

int Registers::read(std::uint8_t address, std::span<std::uint8_t> bytes) {
  if (bytes.size() > 32) {
    return EINVAL;
  }
  guest::Message message{{guest::i2c_request(address_, 1, bytes.size()), address}};
  if (guest::call(bus_, message) != guest::Status::kOk) {
    return EIO;
  }
  std::memcpy(bytes.data(), &message.word[1], bytes.size());
  return error_of(message[0]);
}

int Registers::write(std::uint8_t address, std::uint8_t value) {
  guest::Message message{{guest::i2c_request(address_, 2, 0), address | std::uint64_t{value} << 8}};
  return guest::call(bus_, message) == guest::Status::kOk ? error_of(message[0]) : EIO;
}

int Registers::expect(std::uint8_t address, std::uint8_t value, std::uint8_t mask) {
  std::uint8_t found = 0;
  if (const int error = read(address, {&found, 1})) {
    return error;
  }
  return (found & mask) == value ? 0 : ENODEV;
}

int Registers::wait_until(std::uint8_t address, std::uint8_t value, std::uint8_t mask,
                          std::uint64_t pause, std::uint64_t limit) {
  const std::uint64_t deadline = guest::monotonic_ns() + limit;
  for (;;) {
    const bool is_last = guest::monotonic_ns() >= deadline;
    const int error = expect(address, value, mask);
    if (error != ENODEV) {
      return error;
    }
    if (is_last) {
      return EIO;
    }
    if (const int failed = sleep(pause)) {
      return failed;
    }
  }
}

int Registers::sleep(std::uint64_t duration) {
  const guest::Slot port = first_slot_;
  const guest::Slot timer = first_slot_ + 1;
  if (!has_timer_) {
    // The port's own capability has no badge, and so no bit to signal: the timer's has.
    const guest::Slot signal = timer + 1;
    if (guest::create_port(port) != guest::Status::kOk ||
        guest::copy_capability(abi::kSelfSlot, signal, port, abi::kRightSignal, 1) !=
            guest::Status::kOk ||
        guest::create_timer(timer, signal) != guest::Status::kOk) {
      return EIO;
    }
    has_timer_ = true;
  }
  const std::uint64_t deadline = guest::monotonic_ns() + duration;
  while (guest::monotonic_ns() < deadline) {
    guest::arm_timer(timer, guest::tsc_at(guest::time_page(), deadline));
    if (!guest::Receiver(port).wait()) {
      return EIO;
    }
  }
  return 0;
}

}  // namespace chips
