// Every chip of the catalogue: what is restored behaves as what was saved, and states that cannot
// be are refused.

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "device-model/chip_catalogue.h"
#include "device-model/chips/chip_device.h"
#include "device-model/world/constant_world.h"

namespace ensemble::device {
namespace {

// A chip, the clock and world around it, and what its outputs have done.
class Bench final : public ChipHost {
 public:
  explicit Bench(const ChipModel& model, std::uint64_t now = 5'000'000'321)
      : now_(now), chip_(model.make(*this, {.tag = std::string(model.name)})) {
    chip_->wake();
  }

  std::vector<std::byte> state() const {
    return vmm::save_state(std::vector<vmm::Stateful*>{chip_.get()}).value();
  }
  Result<void> restore(std::span<const std::byte> state) {
    return vmm::restore_state(state, std::vector<vmm::Stateful*>{chip_.get()});
  }
  // As restoring a machine does it: the pin keeps its level.
  void restore_from(const Bench& other) {
    now_ = other.now_;
    world_ = other.world_;
    interrupt_ = other.interrupt_;
    edges_ = other.edges_;
    const auto restored = restore(other.state());
    ASSERT_TRUE(restored) << restored.error().message();
  }

  void pass(std::uint64_t time) {
    const std::uint64_t end = now_ + time;
    while (wake_time_ && *wake_time_ <= end) {
      now_ = std::max(now_, *wake_time_);
      wake_time_.reset();
      chip_->wake();
    }
    now_ = end;
  }
  void set(Quantity quantity, double value) { world_.set(quantity, value); }
  ChipDevice& chip() { return *chip_; }
  std::optional<std::uint64_t> wake_time() const { return wake_time_; }
  bool interrupt() const { return interrupt_; }
  unsigned edges() const { return edges_; }

  std::uint64_t now() const override { return now_; }
  double measure(Quantity quantity, std::uint64_t time) const override {
    EXPECT_LE(time, now_) << "a chip cannot see the future";
    // No two instants are alike.
    return world_.measure(quantity, time) * (1 + 1e-3 * static_cast<double>(time / 1000 % 97));
  }
  void drive_interrupt(bool high) override {
    edges_ += high != interrupt_ ? 1 : 0;
    interrupt_ = high;
  }
  void wake_at(std::optional<std::uint64_t> time) override { wake_time_ = time; }

 private:
  ConstantWorld world_;
  std::uint64_t now_;
  bool interrupt_ = false;
  unsigned edges_ = 0;
  std::optional<std::uint64_t> wake_time_;
  std::unique_ptr<ChipDevice> chip_;
};

// What a driver and the world may do; the same for each chip that it is done to.
class Driver {
 public:
  explicit Driver(unsigned seed) : random_(seed) {}

  // True once a transfer has ended.
  bool between_transfers() const { return left_ == 0; }

  // One step. `step(bench)` says what came of it.
  template <typename... Benches>
  void step(Benches&... benches) {
    const auto number = [this](unsigned below) { return static_cast<unsigned>(random_() % below); };
    if (left_ == 0 && number(3) == 0) {
      const std::uint64_t time = 1ULL << number(31);
      (benches.pass(time), ...);
      return;
    }
    if (left_ == 0 && number(8) == 0) {
      const auto quantity = static_cast<Quantity>(number(kQuantityCount));
      const double value = static_cast<double>(number(4000)) / 100 - 10;
      (benches.set(quantity, value), ...);
      return;
    }
    if (left_ == 0) {
      left_ = 2 + number(20);
      reads_ = number(2) == 0;
      // Most chips have their registers in the lower half.
      const auto address = static_cast<std::uint8_t>(number(number(2) == 0 ? 0x80 : 0x100));
      (benches.chip().start(I2cDirection::kWrite), ...);
      (benches.chip().write(address), ...);
      if (reads_) {
        (benches.chip().start(I2cDirection::kRead), ...);
      }
      return;
    }
    if (number(10) == 0) {
      const std::uint64_t time = number(10'000'000);
      (benches.pass(time), ...);
    }
    if (--left_ == 0) {
      (benches.chip().stop(), ...);
    } else if (reads_) {
      const std::vector<unsigned> bytes{benches.chip().read()...};
      EXPECT_EQ(bytes, std::vector<unsigned>(bytes.size(), bytes.front()));
    } else {
      const auto byte = static_cast<std::uint8_t>(random_());
      (benches.chip().write(byte), ...);
    }
  }

 private:
  std::mt19937 random_;
  unsigned left_ = 0;  // Steps of the transfer.
  bool reads_ = false;
};

class SavedChip : public testing::TestWithParam<const ChipModel*> {};

TEST_P(SavedChip, BehavesAsBeforeWhenRestored) {
  for (unsigned seed = 0; seed < 60 && !HasFailure(); ++seed) {
    Driver driver(seed);
    Bench original(*GetParam());
    for (unsigned i = 0; i < 100 + 37 * seed % 211; ++i) {
      driver.step(original);
    }
    Bench copy(*GetParam(), 1);
    copy.restore_from(original);
    EXPECT_EQ(copy.state(), original.state());
    for (unsigned i = 0; i < 300 && !HasFailure(); ++i) {
      driver.step(original, copy);
      if (driver.between_transfers()) {
        EXPECT_EQ(copy.wake_time(), original.wake_time());
      }
      EXPECT_EQ(copy.interrupt(), original.interrupt());
      EXPECT_EQ(copy.edges(), original.edges());
    }
    EXPECT_EQ(copy.state(), original.state()) << "seed " << seed;
  }
}

// The bytes of the chip's only section, without what surrounds them.
std::vector<std::byte> section(const ChipDevice& chip) {
  vmm::StateWriter writer;
  EXPECT_TRUE(chip.save(writer));
  return writer.data();
}

TEST_P(SavedChip, RefusesWhatLacksAndWhatIsMoreAndStaysAsItWas) {
  Driver driver(7);
  Bench bench(*GetParam());
  for (unsigned i = 0; i < 200; ++i) {
    driver.step(bench);
  }
  const std::vector<std::byte> good = section(bench.chip());
  std::vector<std::byte> longer = good;
  longer.push_back(std::byte{0});
  for (std::size_t size = 0; size < good.size(); size += 1 + size % 5) {
    const auto part = std::span(good).first(size);
    vmm::StateReader reader(part);
    const auto restored = bench.chip().restore(reader, 2);
    ASSERT_FALSE(restored) << size;
    const std::string message = restored.error().message();
    EXPECT_TRUE(message.starts_with("ends after ") || message.find(" bytes where ") != message.npos)
        << message;
  }
  vmm::StateReader reader(longer);
  EXPECT_EQ(bench.chip().restore(reader, 2).error().message(), "holds 1 bytes more than expected");
  EXPECT_EQ(section(bench.chip()), good);
}

TEST_P(SavedChip, SurvivesRandomStates) {
  std::mt19937 random(11);
  unsigned refused = 0;
  constexpr unsigned kRounds = 300;
  for (unsigned round = 0; round < kRounds; ++round) {
    Driver driver(round);
    Bench bench(*GetParam());
    for (unsigned i = 0; i < 60; ++i) {
      driver.step(bench);
    }
    const std::vector<std::byte> good = section(bench.chip());
    std::vector<std::byte> bad = good;
    for (unsigned i = 0; i <= round % 4; ++i) {
      bad[random() % bad.size()] = static_cast<std::byte>(random());
    }
    vmm::StateReader reader(bad);
    if (!bench.chip().restore(reader, 2)) {
      ++refused;
      EXPECT_EQ(section(bench.chip()), good);
    }
    for (unsigned i = 0; i < 60; ++i) {
      driver.step(bench);
    }
  }
  EXPECT_GT(refused, kRounds / 4) << "most bytes of a number of 64 bits can only be zero";
  EXPECT_LT(refused, kRounds);
}

TEST_P(SavedChip, NobodyIsWokenForAChipThatNobodyUses) {
  Bench bench(*GetParam());
  EXPECT_FALSE(bench.wake_time());
  Bench copy(*GetParam());
  copy.restore_from(bench);
  EXPECT_FALSE(copy.wake_time());
}

TEST_P(SavedChip, RefusesVersionsFromTheFuture) {
  Bench bench(*GetParam());
  std::vector<std::byte> state = bench.state();
  const std::size_t version = 8 + 8 + 4 + 4 + 8 + GetParam()->name.size();
  ASSERT_EQ(state[version], std::byte{2});
  state[version] = std::byte{3};
  EXPECT_EQ(bench.restore(state).error().message(),
            "section \"" + std::string(GetParam()->name) +
                "\" of the saved state has version 3; versions 1 to 2 can be read");
}

INSTANTIATE_TEST_SUITE_P(Chips, SavedChip,
                         testing::ValuesIn(chip_catalogue().begin(), chip_catalogue().end()),
                         [](const auto& tested) { return std::string(tested.param->name); });

}  // namespace
}  // namespace ensemble::device
