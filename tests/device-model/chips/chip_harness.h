#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device-model/chip_catalogue.h"
#include "device-model/chips/chip_device.h"
#include "device-model/world/constant_world.h"

namespace ensemble::device {

// A chip on a test bench: a world and a clock that the test sets, its interrupt output and the
// wake-up it asks for, and transfers as drivers make them.
class ChipHarness : public ChipHost {
 public:
  static constexpr std::uint64_t kMillisecond = 1'000'000;

  explicit ChipHarness(std::string_view model, ChipSettings settings = {})
      : model_(*find_chip(model)), settings_(std::move(settings)) {
    settings_.tag = model;
    chip_ = model_.make(*this, settings_);
    chip_->wake();
  }

  ConstantWorld world;

  // Time passes; the wake-ups that the chip asks for meanwhile come.
  void pass(std::uint64_t nanoseconds) {
    const std::uint64_t end = now_ + nanoseconds;
    while (wake_time_ && *wake_time_ <= end) {
      now_ = std::max(now_, *wake_time_);
      wake_time_.reset();
      ++wake_count_;
      chip_->wake();
    }
    now_ = end;
  }
  void pass_milliseconds(std::uint64_t count) { pass(count * kMillisecond); }

  std::vector<std::uint8_t> read(std::uint8_t address, std::size_t count) {
    EXPECT_TRUE(chip_->start(I2cDirection::kWrite));
    EXPECT_TRUE(chip_->write(address));
    EXPECT_TRUE(chip_->start(I2cDirection::kRead));
    std::vector<std::uint8_t> bytes;
    for (std::size_t i = 0; i < count; ++i) {
      bytes.push_back(chip_->read());
    }
    chip_->stop();
    return bytes;
  }
  std::uint8_t read(std::uint8_t address) { return read(address, 1).front(); }
  std::uint16_t read_word(std::uint8_t address) {
    const auto bytes = read(address, 2);
    return static_cast<std::uint16_t>(bytes[0] | bytes[1] << 8);
  }
  std::int16_t read_signed(std::uint8_t address) {
    return static_cast<std::int16_t>(read_word(address));
  }
  std::uint16_t read_word_high_first(std::uint8_t address) {
    const auto bytes = read(address, 2);
    return static_cast<std::uint16_t>(bytes[0] << 8 | bytes[1]);
  }

  void write(std::uint8_t address, std::initializer_list<std::uint8_t> bytes) {
    EXPECT_TRUE(chip_->start(I2cDirection::kWrite));
    EXPECT_TRUE(chip_->write(address));
    for (const std::uint8_t byte : bytes) {
      EXPECT_TRUE(chip_->write(byte));
    }
    chip_->stop();
  }
  void write(std::uint8_t address, std::uint8_t byte) { write(address, {byte}); }
  void write_word(std::uint8_t address, std::uint16_t word) {
    write(address, {static_cast<std::uint8_t>(word), static_cast<std::uint8_t>(word >> 8)});
  }
  // As drivers change some bits of a register.
  void update(std::uint8_t address, std::uint8_t mask, std::uint8_t bits) {
    write(address, static_cast<std::uint8_t>((read(address) & ~mask) | bits));
  }

  // Replaces the chip by a new one that has its state from the old one.
  void save_and_restore() {
    const auto state = vmm::save_state(std::vector<vmm::Stateful*>{chip_.get()});
    ASSERT_TRUE(state) << state.error().message();
    chip_ = model_.make(*this, settings_);
    const auto restored = vmm::restore_state(*state, std::vector<vmm::Stateful*>{chip_.get()});
    ASSERT_TRUE(restored) << restored.error().message();
  }

  bool interrupt_high() const { return interrupt_high_; }
  unsigned rising_edges() const { return rising_edges_; }
  unsigned falling_edges() const { return falling_edges_; }
  bool waits() const { return wake_time_.has_value(); }  // Whether a timer runs for the chip.
  unsigned wake_count() const { return wake_count_; }
  ChipDevice& chip() { return *chip_; }

  std::uint64_t now() const override { return now_; }
  double measure(Quantity quantity, std::uint64_t time) const override {
    EXPECT_LE(time, now_) << "a chip cannot see the future";
    return world.measure(quantity, time);
  }
  void drive_interrupt(bool high) override {
    rising_edges_ += high && !interrupt_high_ ? 1 : 0;
    falling_edges_ += !high && interrupt_high_ ? 1 : 0;
    interrupt_high_ = high;
  }
  void wake_at(std::optional<std::uint64_t> time) override { wake_time_ = time; }

 private:
  const ChipModel& model_;
  ChipSettings settings_;
  std::uint64_t now_ = 1'000'000'123;
  std::optional<std::uint64_t> wake_time_;
  unsigned wake_count_ = 0;
  bool interrupt_high_ = false;
  unsigned rising_edges_ = 0;
  unsigned falling_edges_ = 0;
  std::unique_ptr<ChipDevice> chip_;
};

}  // namespace ensemble::device
