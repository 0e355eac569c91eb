#include "vmm/serial_16550.h"

#include <gtest/gtest.h>

#include "test_support.h"

namespace ensemble::vmm {
namespace {

constexpr uint64_t kData = 0;
constexpr uint64_t kInterruptEnable = 1;
constexpr uint64_t kInterruptIdentity = 2;
constexpr uint64_t kFifoControl = 2;
constexpr uint64_t kLineControl = 3;
constexpr uint64_t kModemControl = 4;
constexpr uint64_t kLineStatus = 5;
constexpr uint64_t kModemStatus = 6;
constexpr uint64_t kScratch = 7;

class SerialTest : public ::testing::Test {
 protected:
  std::unique_ptr<InterruptLine> make_line() {
    auto line = std::make_unique<CountingInterruptLine>();
    interrupts = line.get();
    return line;
  }

  uint8_t read(uint64_t offset) {
    std::byte value{0xff};
    serial.read(offset, std::span(&value, 1));
    return std::to_integer<uint8_t>(value);
  }
  void write(uint64_t offset, int value) {
    const auto byte = static_cast<std::byte>(value);
    serial.write(offset, std::span(&byte, 1));
  }

  CountingInterruptLine* interrupts = nullptr;
  std::string output;
  Serial16550 serial{make_line(), [this](std::span<const std::byte> data) {
                       output.append(reinterpret_cast<const char*>(data.data()), data.size());
                     }};
};

TEST_F(SerialTest, TransmitsAtOnce) {
  EXPECT_EQ(read(kLineStatus), 0x60);
  write(kData, 'a');
  write(kData, 'b');
  EXPECT_EQ(read(kLineStatus), 0x60);
  EXPECT_EQ(output, "ab");
  EXPECT_EQ(interrupts->count(), 0u);
}

TEST_F(SerialTest, ReceivesWhatIsPushed) {
  EXPECT_EQ(serial.push_input(bytes_of("xy")), 2u);
  EXPECT_EQ(read(kLineStatus), 0x61);
  EXPECT_EQ(read(kData), 'x');
  EXPECT_EQ(read(kData), 'y');
  EXPECT_EQ(read(kLineStatus), 0x60);
  EXPECT_EQ(read(kData), 0);
}

TEST_F(SerialTest, DivisorLatchHidesDataAndInterruptEnable) {
  write(kInterruptEnable, 0x05);
  write(kLineControl, 0x83);
  write(kData, 0x34);
  write(kInterruptEnable, 0x12);
  EXPECT_EQ(read(kData), 0x34);
  EXPECT_EQ(read(kInterruptEnable), 0x12);
  write(kLineControl, 0x03);
  EXPECT_EQ(read(kLineControl), 0x03);
  EXPECT_EQ(read(kInterruptEnable), 0x05);
  EXPECT_EQ(output, "");
}

TEST_F(SerialTest, ReceiveInterruptIsAnEdgeUntilTheInputIsRead) {
  write(kInterruptEnable, 0x01);
  EXPECT_EQ(read(kInterruptIdentity), 0x01);
  serial.push_input(bytes_of("a"));
  EXPECT_EQ(interrupts->count(), 1u);
  EXPECT_EQ(read(kInterruptIdentity), 0x04);
  serial.push_input(bytes_of("b"));
  EXPECT_EQ(interrupts->count(), 1u) << "the line is high already";
  read(kData);
  EXPECT_EQ(read(kInterruptIdentity), 0x04);
  read(kData);
  EXPECT_EQ(read(kInterruptIdentity), 0x01);
  serial.push_input(bytes_of("c"));
  EXPECT_EQ(interrupts->count(), 2u);
}

TEST_F(SerialTest, FifoBelowItsTriggerLevelTimesOut) {
  write(kFifoControl, 0xc1);  // Trigger at 14.
  write(kInterruptEnable, 0x01);
  serial.push_input(bytes_of("0123456789abc"));
  EXPECT_EQ(read(kInterruptIdentity), 0xcc);
  serial.push_input(bytes_of("d"));
  EXPECT_EQ(read(kInterruptIdentity), 0xc4);
}

TEST_F(SerialTest, TransmitInterruptComesWhenEnabledAndAfterEachByte) {
  write(kInterruptEnable, 0x02);
  EXPECT_EQ(interrupts->count(), 1u);
  EXPECT_EQ(read(kInterruptIdentity), 0x02);
  EXPECT_EQ(read(kInterruptIdentity), 0x01) << "reading the identity clears it";
  write(kData, 'a');
  EXPECT_EQ(interrupts->count(), 2u);
  write(kData, 'b');
  EXPECT_EQ(interrupts->count(), 3u);
  write(kInterruptEnable, 0x02);
  EXPECT_EQ(interrupts->count(), 3u) << "it was enabled already";
}

TEST_F(SerialTest, ReceiveGoesBeforeTransmit) {
  write(kInterruptEnable, 0x03);
  serial.push_input(bytes_of("a"));
  EXPECT_EQ(read(kInterruptIdentity), 0x04);
  read(kData);
  EXPECT_EQ(read(kInterruptIdentity), 0x02);
}

TEST_F(SerialTest, LoopsBack) {
  write(kModemControl, 0x1f);
  EXPECT_EQ(read(kModemStatus), 0xf0);
  write(kModemControl, 0x12);
  EXPECT_EQ(read(kModemStatus), 0x10);
  write(kModemControl, 0x15);
  EXPECT_EQ(read(kModemStatus), 0x60);
  write(kData, 'q');
  EXPECT_EQ(output, "");
  EXPECT_EQ(read(kData), 'q');
  write(kModemControl, 0x03);
  EXPECT_EQ(read(kModemStatus), 0xb0);
  EXPECT_EQ(read(kModemControl), 0x03);
}

TEST_F(SerialTest, LoopbackOverrunsAFullFifo) {
  write(kFifoControl, 0x01);
  write(kInterruptEnable, 0x04);
  write(kModemControl, 0x10);
  for (int i = 0; i < 17; ++i) {
    write(kData, 'a' + i);
  }
  EXPECT_EQ(read(kInterruptIdentity), 0xc6);
  EXPECT_EQ(read(kLineStatus), 0x63);
  EXPECT_EQ(read(kLineStatus), 0x61) << "reading the status clears the overrun";
  EXPECT_EQ(read(kInterruptIdentity), 0xc1);
}

TEST_F(SerialTest, FifoResetDropsWhatTheChipHolds) {
  write(kFifoControl, 0x01);
  serial.push_input(std::vector<std::byte>(20, std::byte{'z'}));
  write(kFifoControl, 0x03);
  int left = 0;
  while ((read(kLineStatus) & 1) != 0) {
    read(kData);
    ++left;
  }
  EXPECT_EQ(left, 4) << "what waits behind the FIFO stays";
}

TEST_F(SerialTest, SetUpKeepsWhatWasTypedBefore) {
  serial.push_input(bytes_of("early"));
  write(kFifoControl, 0x07);
  EXPECT_EQ(read(kData), 'e');
}

TEST_F(SerialTest, BoundsItsInput) {
  int ready = 0;
  serial.set_input_ready_handler([&] { ++ready; });
  const std::vector<std::byte> much(Serial16550::kInputLimit + 10, std::byte{'m'});
  EXPECT_EQ(serial.push_input(much), Serial16550::kInputLimit);
  EXPECT_EQ(serial.input_space(), 0u);
  EXPECT_EQ(serial.push_input(much), 0u);
  read(kData);
  EXPECT_EQ(ready, 1);
  read(kData);
  EXPECT_EQ(ready, 1) << "only when it was full";
  EXPECT_EQ(serial.input_space(), 2u);
}

TEST_F(SerialTest, KeepsScratchAndIgnoresStatusWrites) {
  write(kScratch, 0x5a);
  write(kLineStatus, 0);
  write(kModemStatus, 0);
  EXPECT_EQ(read(kScratch), 0x5a);
  EXPECT_EQ(read(kLineStatus), 0x60);
  EXPECT_EQ(read(8), 0xff);
}

TEST_F(SerialTest, WideAccessesSeeOneRegister) {
  std::array<std::byte, 4> wide;
  wide.fill(std::byte{0xff});
  serial.read(kLineStatus, wide);
  EXPECT_EQ(wide[0], std::byte{0x60});
  EXPECT_EQ(wide[3], std::byte{0xff});
  serial.write(kScratch, bytes_of("wxyz"));
  EXPECT_EQ(read(kScratch), 'w');
}

TEST_F(SerialTest, StateRoundTrips) {
  write(kLineControl, 0x83);
  write(kData, 1);
  write(kLineControl, 0x03);
  write(kFifoControl, 0x81);
  write(kInterruptEnable, 0x03);
  write(kScratch, 0x77);
  serial.push_input(bytes_of("pending"));
  const std::vector<Stateful*> from = {&serial};
  const auto state = take(save_state(from));

  auto line = std::make_unique<CountingInterruptLine>();
  CountingInterruptLine* count = line.get();
  Serial16550 copy(std::move(line), [](std::span<const std::byte>) {});
  take(restore_state(state, std::vector<Stateful*>{&copy}));
  EXPECT_EQ(take(save_state(std::vector<Stateful*>{&copy})), state);
  std::byte value{};
  copy.read(kData, std::span(&value, 1));
  EXPECT_EQ(value, std::byte{'p'});
  EXPECT_EQ(count->count(), 0u) << "the interrupt was sent before the save";
}

TEST_F(SerialTest, RefusesDamagedState) {
  StateWriter writer;
  take(serial.save(writer));
  for (size_t size = 0; size < writer.data().size(); ++size) {
    StateReader reader(std::span(writer.data()).first(size));
    EXPECT_FALSE(serial.restore(reader, 1)) << size;
  }
}

}  // namespace
}  // namespace ensemble::vmm
