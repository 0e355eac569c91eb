#include "vmm/machine_control.h"

#include <gtest/gtest.h>

#include "test_support.h"

namespace ensemble::vmm {
namespace {

class MachineControlTest : public ::testing::Test {
 protected:
  void write(uint64_t offset, uint32_t value) {
    control.write(offset, std::as_bytes(std::span(&value, 1)));
  }

  std::optional<int> exit_code;
  int resets = 0;
  MachineControl control{
      {.power_off = [this](uint8_t code) { exit_code = code; }, .reset = [this] { ++resets; }}};
};

TEST_F(MachineControlTest, PowersOff) {
  write(0, 0x5555);
  EXPECT_EQ(exit_code, 0);
  write(0, 0x3333 | 42 << 16);
  EXPECT_EQ(exit_code, 42);
  write(0, 0x3333 | 0x1ff << 16);
  EXPECT_EQ(exit_code, 255) << "codes have eight bits";
}

TEST_F(MachineControlTest, Resets) {
  write(0, 0x7777);
  EXPECT_EQ(resets, 1);
  EXPECT_FALSE(exit_code);
}

TEST_F(MachineControlTest, PowersOffAndResetsAsAcpiDoes) {
  const auto write_byte = [this](uint64_t offset, uint8_t value) {
    control.write(offset, std::as_bytes(std::span(&value, 1)));
  };
  write_byte(0x30, 5 << 2);           // Not enabled.
  write_byte(0x30, 1 << 5);           // Another sleep state.
  write_byte(0x31, 5 << 2 | 1 << 5);  // The status register.
  write_byte(0x32, 0);
  write_byte(0x00, 0x55);
  EXPECT_FALSE(exit_code);
  EXPECT_EQ(resets, 0);
  write_byte(0x30, 5 << 2 | 1 << 5);
  EXPECT_EQ(exit_code, 0);
  write_byte(0x32, 1);
  EXPECT_EQ(resets, 1);
}

TEST_F(MachineControlTest, IgnoresWhatItDoesNotKnow) {
  write(0, 0x1234);
  write(4, 0x5555);
  write(0x30, 1);
  write(0x9, 1);
  control.write(0, bytes_of("UU"));
  std::array<std::byte, 8> wide = {};
  wide[0] = wide[1] = std::byte{0x55};
  control.write(0, wide);
  EXPECT_FALSE(exit_code);
  EXPECT_EQ(resets, 0);
  std::array<std::byte, 4> data;
  data.fill(std::byte{0xff});
  control.read(0, data);
  EXPECT_EQ(data, (std::array<std::byte, 4>{}));
}

TEST_F(MachineControlTest, LatchesMilestonesByTheirHighWord) {
  using Milestone = MachineControl::Milestone;
  write(0x08, 0x11111111);
  EXPECT_FALSE(control.milestone(Milestone::kKernelEntry));
  write(0x0c, 0x2);
  EXPECT_EQ(control.milestone(Milestone::kKernelEntry), 0x211111111u);
  write(0x20, 7);
  write(0x24, 0);
  EXPECT_EQ(control.milestone(Milestone::kCommandEnded), 7u);
  EXPECT_FALSE(control.milestone(Milestone::kFirstUserInstruction));
}

TEST_F(MachineControlTest, KeepsAPressOfItsPowerButtonUntilTheGuestAnswers) {
  EXPECT_EQ(control.press_power_button().error().message(),
            "the machine has no power button: machines whose kernel is Linux on KVM have one");
  int interrupts = 0;
  MachineControl with_button(
      {.power_off = {}, .reset = {}, .button_pressed = [&interrupts] { ++interrupts; }});
  const auto pressed = [](MachineControl& machine) {
    std::byte value{0xee};
    machine.read(0x33, std::span(&value, 1));
    return std::to_integer<int>(value);
  };
  EXPECT_EQ(pressed(with_button), 0);
  take(with_button.press_power_button());
  take(with_button.press_power_button());
  EXPECT_EQ(interrupts, 2);
  EXPECT_EQ(pressed(with_button), 1);

  MachineControl copy({.power_off = {}, .reset = {}, .button_pressed = [] {}});
  take(restore_state(take(save_state(std::vector<Stateful*>{&with_button})),
                     std::vector<Stateful*>{&copy}));
  EXPECT_EQ(pressed(copy), 1) << "a press that was not answered is saved";

  const std::byte answer{1};
  with_button.write(0x33, std::span(&answer, 1));
  EXPECT_EQ(pressed(with_button), 0);
  std::array<std::byte, 4> wide = {};
  copy.read(0x30, wide);
  EXPECT_EQ(wide, (std::array<std::byte, 4>{})) << "only its own byte tells of it";
}

TEST_F(MachineControlTest, KeepsMissedCallsUpToALimit) {
  write(0x2c, 5);
  write(0x28, 425);
  EXPECT_EQ(control.missed_calls(), (std::map<uint32_t, uint32_t>{{0, 5}}));
  write(0x2c, 2);
  write(0x2c, 3);
  EXPECT_EQ(control.missed_calls().at(425), 3u) << "the latest count";
  for (uint32_t number = 1000; number < 3000; ++number) {
    write(0x28, number);
    write(0x2c, 1);
  }
  EXPECT_EQ(control.missed_calls().size(), MachineControl::kMissedCallLimit);
  write(0x28, 425);
  write(0x2c, 9);
  EXPECT_EQ(control.missed_calls().at(425), 9u) << "a known one can still be counted";
}

TEST_F(MachineControlTest, StateRoundTrips) {
  write(0x28, 425);
  write(0x2c, 3);
  write(0x10, 5);
  write(0x14, 6);
  write(0x18, 8);
  const auto state = take(save_state(std::vector<Stateful*>{&control}));
  MachineControl copy({});
  take(restore_state(state, std::vector<Stateful*>{&copy}));
  EXPECT_EQ(copy.milestone(MachineControl::Milestone::kFirstUserInstruction), 0x600000005u);
  EXPECT_FALSE(copy.milestone(MachineControl::Milestone::kCommandStarted));
  EXPECT_EQ(copy.missed_calls(), control.missed_calls());
  const uint32_t high = 9;
  copy.write(0x1c, std::as_bytes(std::span(&high, 1)));
  EXPECT_EQ(copy.milestone(MachineControl::Milestone::kCommandStarted), 0x900000008u)
      << "the low word that was written before the save";

  StateWriter writer;
  take(control.save(writer));
  StateReader reader(std::span(writer.data()).first(10));
  EXPECT_FALSE(copy.restore(reader, 1));
}

}  // namespace
}  // namespace ensemble::vmm
