#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <type_traits>

#include "device-model/chips/chip_device.h"
#include "device-model/chips/state_fields.h"

namespace ensemble::device {

// Registers [first, last] that all start with `reset`, and of which a driver can write the bits in
// `writable`. Registers that no row names read as zero.
template <typename Word>
struct RegisterRow {
  std::uint8_t first;
  std::uint8_t last;
  Word reset;
  Word writable;
};

// A chip with registers of one or two bytes (low byte first) behind 8-bit addresses, as nearly all
// have: a transfer that writes begins with the address, what follows goes to the registers from
// there on, and a transfer that reads gets the registers from where the address stands.
//
// A chip of this kind is a class with a table of its registers that says what reading and writing
// of some does beyond keeping the value, and what happens as time passes.
template <typename Word>
class RegisterChip : public ChipDevice {
 public:
  bool start(I2cDirection direction) final {
    advance(host_.now());
    in_transfer_ = true;
    expects_address_ = direction == I2cDirection::kWrite;
    in_second_byte_ = false;
    return true;
  }

  bool write(std::uint8_t value) final {
    if (expects_address_) {
      expects_address_ = false;
      address_ = select(value);
      return true;
    }
    if constexpr (sizeof(Word) == 2) {
      if (!in_second_byte_) {
        in_second_byte_ = true;
        half_ = value;
        return true;
      }
      in_second_byte_ = false;
    }
    store(address_, static_cast<Word>(sizeof(Word) == 2 ? value << 8 | half_ : value));
    address_ = next(address_);
    return true;
  }

  std::uint8_t read() final {
    if constexpr (sizeof(Word) == 2) {
      if (in_second_byte_) {
        in_second_byte_ = false;
        return half_;
      }
      in_second_byte_ = true;
    }
    const Word value = load(address_);
    address_ = next(address_);
    if constexpr (sizeof(Word) == 2) {
      half_ = static_cast<std::uint8_t>(value >> 8);
    }
    return static_cast<std::uint8_t>(value);
  }

  void stop() final {
    in_transfer_ = false;
    update_outputs();
  }

  // What a transfer reads is of one instant: until it ends, nothing is taken. The wake-up that it
  // asks for then comes at once.
  void wake() final {
    if (!in_transfer_) {
      advance(host_.now());
      update_outputs();
    }
  }

  std::string state_tag() const final { return settings_.tag; }
  // Version 1 did not tell whether a transfer was under way, and where the frames of a FIFO begin.
  std::uint32_t state_version() const final { return 2; }

  Result<void> save(vmm::StateWriter& writer) const final {
    StateFields state(writer, host_.now(), state_version());
    // Nothing is changed by saving; the list of fields is one for both directions.
    const_cast<RegisterChip*>(this)->exchange_all(state);
    return {};
  }

  // Changes nothing on an Error.
  Result<void> restore(vmm::StateReader& reader, std::uint32_t version) final {
    vmm::StateWriter before;
    if (auto saved = save(before); !saved) {
      return saved;
    }
    StateFields state(reader, host_.now(), version);
    exchange_all(state);
    check_settings(state);
    if (auto finished = state.finish(); !finished) {
      vmm::StateReader back(before.data());
      StateFields previous(back, host_.now(), state_version());
      exchange_all(previous);
      return finished;
    }
    if (!in_transfer_) {
      update_outputs();
    }
    return {};
  }

 protected:
  using Row = RegisterRow<Word>;

  // `rows` lives as long as the chip. The registers have their reset values then.
  RegisterChip(ChipHost& host, ChipSettings settings, std::span<const Row> rows)
      : host_(host), settings_(std::move(settings)), rows_(rows) {
    reset_registers();
  }

  // All registers as after power-on.
  void reset_registers() {
    registers_.fill(0);
    for (const Row& row : rows_) {
      std::fill(registers_.begin() + row.first, registers_.begin() + row.last + 1, row.reset);
    }
  }

  // A driver's read of a register. What reading clears is cleared here.
  virtual Word load(std::uint8_t address) { return registers_[address]; }

  // A driver's write. This one keeps the bits that can be written.
  virtual void store(std::uint8_t address, Word value) {
    for (const Row& row : rows_) {
      if (address >= row.first && address <= row.last) {
        registers_[address] =
            static_cast<Word>((registers_[address] & ~row.writable) | (value & row.writable));
      }
    }
  }

  // The register that a byte at the start of a transfer selects.
  virtual std::uint8_t select(std::uint8_t value) { return value; }

  // The register after `address` within a transfer.
  virtual std::uint8_t next(std::uint8_t address) { return static_cast<std::uint8_t>(address + 1); }

  // Brings the registers to the time `now`: the samples since the last call are taken.
  virtual void advance(std::uint64_t now) { (void)now; }

  // After a transfer, a wake-up or a restoration: the interrupt output, and the next wake-up if an
  // enabled interrupt asks for one. Not within a transfer.
  virtual void update_outputs() {}

  // State beyond the registers, with what `state` is to refuse of it.
  virtual void exchange(StateFields& state) { (void)state; }

  ChipHost& host() const { return host_; }
  const ChipSettings& settings() const { return settings_; }
  Word& at(std::uint8_t address) { return registers_[address]; }
  Word at(std::uint8_t address) const { return registers_[address]; }

  // A 16-bit value in two 8-bit registers.
  void put_low_first(std::uint8_t address, std::uint16_t value) {
    registers_[address] = static_cast<Word>(value & 0xFF);
    registers_[address + 1U] = static_cast<Word>(value >> 8);
  }

 private:
  void exchange_all(StateFields& state) {
    state.fields(registers_, address_, expects_address_, in_second_byte_, half_);
    if (state.version() >= 2) {
      state.field(in_transfer_);
    } else {
      in_transfer_ = false;
    }
    exchange(state);
  }

  // Of registers that a driver can write, the bits that it cannot never change.
  void check_settings(StateFields& state) const {
    for (const Row& row : rows_) {
      for (unsigned address = row.first; row.writable != 0 && address <= row.last; ++address) {
        const auto odd = static_cast<Word>((registers_[address] ^ row.reset) & ~row.writable);
        state.require(odd == 0,
                      fmt::format("register {:#04x} holds {:#x}, but its bits {:#x} are fixed",
                                  address, registers_[address], odd));
      }
    }
  }

  ChipHost& host_;
  const ChipSettings settings_;
  const std::span<const Row> rows_;
  std::array<Word, 256> registers_{};
  std::uint8_t address_ = 0;
  bool in_transfer_ = false;
  bool expects_address_ = false;
  bool in_second_byte_ = false;  // Of a 16-bit register.
  std::uint8_t half_ = 0;
};

using ByteChip = RegisterChip<std::uint8_t>;
using WordChip = RegisterChip<std::uint16_t>;

// `value` in steps of `step`, rounded, and cut off at what Integer can hold, as converters do.
template <typename Integer>
Integer quantize(double value, double step) {
  const double steps = std::round(value / step);
  return static_cast<Integer>(std::clamp(steps,
                                         static_cast<double>(std::numeric_limits<Integer>::min()),
                                         static_cast<double>(std::numeric_limits<Integer>::max())));
}

inline std::uint16_t as_word(std::int16_t value) {
  return static_cast<std::uint16_t>(value);
}

}  // namespace ensemble::device
