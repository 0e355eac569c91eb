#include "device-model/i2c/designware_i2c.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace ensemble::device {
namespace {

// Remembers what it was told, and answers reads with rising numbers.
class RecordingDevice final : public I2cDevice {
 public:
  bool start(I2cDirection direction) override {
    log += direction == I2cDirection::kRead ? 'R' : 'W';
    return true;
  }
  bool write(std::uint8_t value) override {
    log += fmt::format("{:02x}", value);
    return value != 0xEE;
  }
  std::uint8_t read() override { return next++; }
  void stop() override { log += 'P'; }

  std::string log;
  std::uint8_t next = 0x10;
};

class DesignwareI2cTest : public testing::Test {
 protected:
  static constexpr std::uint32_t kRead = 0x100, kStop = 0x200, kRestart = 0x400;
  static constexpr std::uint32_t kTransmitEmpty = 0x10, kAbort = 0x40, kStopDetected = 0x200;
  static constexpr std::uint32_t kReceiveFull = 0x04;

  DesignwareI2cTest() { controller_.bus().insert(0x42, device_); }

  std::uint32_t read(std::uint64_t offset) {
    std::uint32_t value = ~0U;
    controller_.read(offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void write(std::uint64_t offset, std::uint32_t value) {
    controller_.write(offset, std::as_bytes(std::span(&value, 1)));
  }
  // What Linux's driver does before a transfer.
  void begin(std::uint32_t target) {
    write(0x6C, 0);
    write(0x04, target);
    write(0x30, 0);
    write(0x6C, 1);
    read(0x40);
    write(0x30, 0x256);
  }

  bool interrupt_ = false;
  DesignwareI2c controller_{"i2c0", std::make_unique<vmm::ObservedInterruptLine>(interrupt_)};
  RecordingDevice device_;
};

TEST_F(DesignwareI2cTest, IsWhatDriversLookFor) {
  EXPECT_EQ(read(0xFC), 0x44570140U);
  EXPECT_GE(read(0xF8), 0x3131312AU);  // Has a hold register for both directions.
  EXPECT_EQ((read(0xF4) >> 16 & 0xFF) + 1, DesignwareI2c::kFifoDepth);
  EXPECT_EQ((read(0xF4) >> 8 & 0xFF) + 1, DesignwareI2c::kFifoDepth);
  EXPECT_EQ(read(0x9C), 0U);
}

TEST_F(DesignwareI2cTest, TakesTimingsWhileDisabled) {
  for (const std::uint32_t speed : {1U, 2U}) {  // 100 kHz, 400 kHz.
    write(0x6C, 0);
    write(0x00, 0x61 | speed << 1);
    write(0x14, 500);
    write(0x1C, 90);
    EXPECT_EQ(read(0x00), 0x61U | speed << 1);
    EXPECT_EQ(read(0x14), 500U);
    EXPECT_EQ(read(0x1C), 90U);
    write(0x6C, 1);
    write(0x14, 1);
    EXPECT_EQ(read(0x14), 500U);
  }
}

TEST_F(DesignwareI2cTest, WritesThenReadsWithARestart) {
  begin(0x42);
  EXPECT_TRUE(interrupt_);  // The FIFO wants commands.
  write(0x10, 0x0A);
  write(0x10, kRead | kRestart);
  write(0x10, kRead | kStop);
  EXPECT_EQ(device_.log, "W0aRP");
  EXPECT_EQ(read(0x78), 2U);
  EXPECT_EQ(read(0x2C) & (kReceiveFull | kStopDetected), kReceiveFull | kStopDetected);
  EXPECT_EQ(read(0x10), 0x10U);
  EXPECT_EQ(read(0x10), 0x11U);
  read(0x60);
  write(0x30, 0x246);  // No more commands to come.
  EXPECT_FALSE(interrupt_);
  EXPECT_EQ(read(0x70), 0x06U);  // Idle, transmit FIFO empty and not full.
}

TEST_F(DesignwareI2cTest, NobodyAtTheAddressAborts) {
  begin(0x43);
  write(0x10, 0x0A);
  EXPECT_TRUE((read(0x2C) & (kAbort | kStopDetected)) == (kAbort | kStopDetected));
  EXPECT_EQ(read(0x80), 1U);
  write(0x10, 0x0B);  // Dropped until the abort is seen.
  EXPECT_EQ(read(0x74), 0U);
  read(0x54);
  EXPECT_EQ(read(0x80), 0U);
  EXPECT_EQ(read(0x34) & kAbort, 0U);
  EXPECT_EQ(device_.log, "");
}

TEST_F(DesignwareI2cTest, RefusedDataAborts) {
  begin(0x42);
  write(0x10, 0xEE);
  EXPECT_EQ(read(0x80) & 0xFFFF, 8U);
  EXPECT_EQ(device_.log, "WeeP");
}

TEST_F(DesignwareI2cTest, NoDeviceHasATenBitAddress) {
  begin(0x42 | 1 << 12);
  write(0x10, 0);
  EXPECT_EQ(read(0x80) & 0xFFFF, 2U);
}

TEST_F(DesignwareI2cTest, WaitsForRoomInTheReceiveFifo) {
  begin(0x42);
  for (unsigned i = 0; i < DesignwareI2c::kFifoDepth + 2; ++i) {
    write(0x10, kRead | (i == DesignwareI2c::kFifoDepth + 1 ? kStop : 0));
  }
  EXPECT_EQ(read(0x78), DesignwareI2c::kFifoDepth);
  EXPECT_EQ(read(0x74), 2U);
  EXPECT_EQ(read(0x70) & 0x30, 0x30U);  // Busy; full.
  for (unsigned i = 0; i < DesignwareI2c::kFifoDepth + 2; ++i) {
    EXPECT_EQ(read(0x10), 0x10U + i);
  }
  EXPECT_EQ(device_.log, "RP");
  read(0x10);
  EXPECT_EQ(read(0x34) & 1, 1U);  // Read although empty.
}

TEST_F(DesignwareI2cTest, DisablingEndsTheTransfer) {
  begin(0x42);
  write(0x10, 0x01);
  EXPECT_EQ(read(0x70) & 1, 1U);
  write(0x6C, 0);
  EXPECT_EQ(device_.log, "W01P");
  EXPECT_FALSE(interrupt_);
  EXPECT_EQ(read(0x9C), 0U);
}

TEST_F(DesignwareI2cTest, KeepsItsStateOverSaveAndRestore) {
  begin(0x42);
  write(0x10, 0x01);
  for (unsigned i = 0; i < DesignwareI2c::kFifoDepth + 1; ++i) {
    write(0x10, kRead);
  }
  const auto state = vmm::save_state(std::vector<vmm::Stateful*>{&controller_});
  ASSERT_TRUE(state);
  bool interrupt = false;
  DesignwareI2c other("i2c0", std::make_unique<vmm::ObservedInterruptLine>(interrupt));
  EXPECT_FALSE(vmm::restore_state(*state, std::vector<vmm::Stateful*>{&other}))
      << "nobody is at the address of the transfer";
  RecordingDevice device;
  other.bus().insert(0x42, device);
  ASSERT_TRUE(vmm::restore_state(*state, std::vector<vmm::Stateful*>{&other}));
  EXPECT_EQ(interrupt, interrupt_);
  std::uint32_t level = 0;
  other.read(0x78, std::as_writable_bytes(std::span(&level, 1)));
  EXPECT_EQ(level, DesignwareI2c::kFifoDepth);
  std::uint32_t value = 0;
  other.read(0x10, std::as_writable_bytes(std::span(&value, 1)));
  EXPECT_EQ(value, 0x10U);
  EXPECT_EQ(device.next, 0x11);  // The command that had waited.
}

TEST_F(DesignwareI2cTest, RefusesStatesThatCannotBe) {
  begin(0x42);
  write(0x10, 0x01);
  vmm::StateWriter writer;
  ASSERT_TRUE(controller_.save(writer));
  const auto good = writer.data();
  constexpr std::size_t kSettings = 8;
  const std::size_t wrong[] = {
      kSettings + 0x6C + 1,    // The enable register.
      kSettings + 0x30 + 2,    // The interrupt mask.
      kSettings + 0x38,        // A threshold.
      kSettings + 0x04 + 3,    // The target.
      kSettings + 0x100 + 2,   // Interrupts.
      kSettings + 0x100 + 8,   // What the bus does.
      kSettings + 0x100 + 9,   // The address that answers.
      kSettings + 0x100 + 10,  // How many commands wait.
  };
  for (const std::size_t place : wrong) {
    auto bad = good;
    bad[place] = std::byte{0xFF};
    vmm::StateReader reader(bad);
    EXPECT_FALSE(controller_.restore(reader, 1)) << place;
  }
  auto disabled = good;
  disabled[kSettings + 0x6C] = std::byte{0};
  vmm::StateReader reader(disabled);
  const auto restored = controller_.restore(reader, 1);
  ASSERT_FALSE(restored);
  EXPECT_NE(restored.error().message().find("no controller can have these registers: enabled 0x0"),
            std::string::npos);
  for (std::size_t size = 0; size < good.size(); ++size) {
    const auto part = std::span(good).first(size);
    vmm::StateReader short_reader(part);
    EXPECT_FALSE(controller_.restore(short_reader, 1)) << size;
  }
  vmm::StateReader again(good);
  EXPECT_TRUE(controller_.restore(again, 1));
}

}  // namespace
}  // namespace ensemble::device
