#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <set>

#include "guest-kernel/chips/bmp380_compensation.h"
#include "guest-kernel/chips/catalogue.h"
#include "guest-kernel/chips/number.h"
#include "guest-kernel/chips/registers.h"
#include "guest-kernel/lib/i2c_protocol.h"

namespace {

// The bus behind guest::call(): one chip at 0x68 whose registers say 100 + their address.
struct Bus {
  guest::Status status = guest::Status::kOk;
  guest::I2cStatus answer = guest::I2cStatus::kOk;
  guest::Message last;
} bus;

}  // namespace

namespace guest {

Status call(Slot /*port*/, Message& message) {
  bus.last = message;
  const auto first = static_cast<std::uint8_t>(message[1]);
  const std::uint64_t count = message[0] >> 16;
  message = {{static_cast<std::uint64_t>(bus.answer)}};
  std::array<std::uint8_t, kI2cMostRead> bytes{};
  for (std::uint64_t i = 0; i < count; ++i) {
    bytes[i] = static_cast<std::uint8_t>(100 + first + i);
  }
  std::memcpy(&message.word[1], bytes.data(), bytes.size());
  return bus.status;
}

// Nothing here has time to pass.
Status create_port(Slot /*to*/) {
  return Status::kNoMemory;
}
Status create_timer(Slot /*to*/, Slot /*port*/) {
  return Status::kNoMemory;
}
Status copy_capability(Slot /*domain*/, Slot /*to*/, Slot /*from*/, std::uint64_t /*rights*/,
                       std::uint64_t /*badge*/) {
  return Status::kNoMemory;
}
Status arm_timer(Slot /*timer*/, std::uint64_t /*deadline*/) {
  return Status::kNoMemory;
}
Result<Received> Receiver::wait() const {
  return std::unexpected(Status::kNoMemory);
}

}  // namespace guest

namespace chips {
namespace {

std::string integer(std::int64_t value) {
  std::array<char, 32> buffer;
  guest::TextWriter text(buffer);
  put_integer(text, value);
  return std::string(text.view());
}

std::string fraction(std::int64_t value, unsigned digits) {
  std::array<char, 32> buffer;
  guest::TextWriter text(buffer);
  put_fraction(text, value, digits);
  return std::string(text.view());
}

TEST(ChipNumbers, AreWrittenAsLinuxWritesThem) {
  EXPECT_EQ(integer(0), "0");
  EXPECT_EQ(integer(-293), "-293");
  EXPECT_EQ(integer(std::numeric_limits<std::int64_t>::min()), "-9223372036854775808");
  EXPECT_EQ(fraction(101'325'000'000, 9), "101.325000000");
  EXPECT_EQ(fraction(-5, 3), "-0.005");
  EXPECT_EQ(fraction(1500, 6), "0.001500");
}

TEST(ChipNumbers, OfProgramsAreReadInBillionths) {
  EXPECT_EQ(read_billionths("12.5"), 12'500'000'000);
  EXPECT_EQ(read_billionths("0.000598205"), 598'205);
  EXPECT_EQ(read_billionths("-3"), -3'000'000'000);
  EXPECT_EQ(read_billionths(".25"), 250'000'000);
  EXPECT_EQ(read_billionths("1.0000000019"), 1'000'000'001);
  EXPECT_EQ(read_billionths("1000000000"), 1'000'000'000'000'000'000);
  for (const char* wrong : {"", ".", "-", "1.2.3", "x", "1 ", "10000000000", "--1", "1e3"}) {
    EXPECT_EQ(read_billionths(wrong), std::nullopt) << wrong;
  }
}

TEST(ChipNumbers, AreReadInEitherOrder) {
  constexpr std::array<std::uint8_t, 2> kBytes = {0x12, 0xff};
  EXPECT_EQ(low_first(kBytes), 0xff12);
  EXPECT_EQ(signed_low_first(kBytes), -238);
  EXPECT_EQ(high_first(kBytes), 0x12ff);
}

TEST(ChipRegisters, AreTransfersOnTheBus) {
  bus = {};
  Registers chip(5, 0x68, 20);
  std::array<std::uint8_t, 3> bytes{};
  EXPECT_EQ(chip.read(0x10, bytes), 0);
  EXPECT_EQ(bytes, (std::array<std::uint8_t, 3>{116, 117, 118}));
  EXPECT_EQ(bus.last[0], guest::i2c_request(0x68, 1, 3));
  EXPECT_EQ(chip.write(0x7e, 0x11), 0);
  EXPECT_EQ(bus.last[0], guest::i2c_request(0x68, 2, 0));
  EXPECT_EQ(bus.last[1], 0x117eU);
}

TEST(ChipRegisters, TellWhatWentWrong) {
  bus = {};
  Registers chip(5, 0x68, 20);
  EXPECT_EQ(chip.expect(0, 100), 0);
  EXPECT_EQ(chip.expect(0, 101), ENODEV);
  EXPECT_EQ(chip.expect(0, 0x60, 0xf0), 0);
  std::array<std::uint8_t, 33> many{};
  EXPECT_EQ(chip.read(0, many), EINVAL);
  for (const auto& [answer, error] :
       {std::pair{guest::I2cStatus::kNoAcknowledge, ENXIO},
        std::pair{guest::I2cStatus::kTimedOut, ETIMEDOUT}, std::pair{guest::I2cStatus::kBusy, EIO},
        std::pair{guest::I2cStatus::kBusError, EIO}}) {
    bus.answer = answer;
    EXPECT_EQ(chip.expect(0, 100), error);
    EXPECT_EQ(chip.write(0, 0), error);
  }
  bus.answer = guest::I2cStatus::kOk;
  bus.status = guest::Status::kPeerGone;
  EXPECT_EQ(chip.write(0, 0), EIO);
  EXPECT_EQ(chip.sleep(1000), EIO) << "there is no timer";
}

// Trim words of a chip, as numbers, and the data sheet's formulas in floating point.
struct Trim {
  double t1, t2, t3, p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11;

  std::array<std::uint8_t, Bmp380Compensation::kSize> bytes() const {
    std::array<std::uint8_t, Bmp380Compensation::kSize> bytes{};
    std::size_t at = 0;
    const auto put = [&](double value, std::size_t size) {
      const auto number = static_cast<std::int32_t>(value);
      std::memcpy(&bytes[at], &number, size);
      at += size;
    };
    for (const double value : {t1, t2}) {
      put(value, 2);
    }
    put(t3, 1);
    put(p1, 2);
    put(p2, 2);
    put(p3, 1);
    put(p4, 1);
    put(p5, 2);
    put(p6, 2);
    put(p7, 1);
    put(p8, 1);
    put(p9, 2);
    put(p10, 1);
    put(p11, 1);
    return bytes;
  }
  double temperature(double raw) const {
    const double d = raw - t1 * 256;
    return d * t2 / std::exp2(30) + d * d * t3 / std::exp2(48);
  }
  double pressure(double raw, double t) const {
    const double offset =
        p5 * 8 + p6 / std::exp2(6) * t + p7 / std::exp2(8) * t * t + p8 / std::exp2(15) * t * t * t;
    const double slope = (p1 - 16384) / std::exp2(20) + (p2 - 16384) / std::exp2(29) * t +
                         p3 / std::exp2(32) * t * t + p4 / std::exp2(37) * t * t * t;
    return offset + raw * slope + raw * raw * (p9 / std::exp2(48) + p10 / std::exp2(48) * t) +
           raw * raw * raw * p11 / std::exp2(65);
  }
};

TEST(Bmp380, CompensatesAsTheDataSheetDoes) {
  // Of a real chip, and one that has the first terms only.
  constexpr Trim kTrims[] = {
      {27652, 19004, -7, -334, -1536, 35, 0, 24764, 29976, -6, -7, 16288, 10, -60},
      {27000, 18000, 0, 24576, 16384, 0, 0, 0, 0, 0, 0, 0, 0, 0}};
  for (const Trim& trim : kTrims) {
    const Bmp380Compensation compensation(trim.bytes());
    for (const std::uint32_t raw_temperature : {7'000'000U, 8'000'000U, 8'700'000U}) {
      const double celsius = trim.temperature(raw_temperature);
      EXPECT_NEAR(static_cast<double>(compensation.temperature(raw_temperature)), celsius * 100, 1);
      for (const std::uint32_t raw : {1U, 3'000'000U, 6'900'000U, 0xff'fffeU}) {
        EXPECT_NEAR(static_cast<double>(compensation.pressure(raw, raw_temperature)),
                    trim.pressure(raw, celsius) * 100, 2)
            << raw << " at " << celsius;
      }
    }
  }
}

TEST(ChipCatalogue, NamesEachChipAndFileOnce) {
  std::set<std::string_view> compatibles;
  for (const ChipModel* model : catalogue()) {
    EXPECT_TRUE(compatibles.insert(model->compatible).second) << model->compatible;
    ASSERT_TRUE(find_chip(model->compatible));
    EXPECT_EQ(catalogue()[*find_chip(model->compatible)], model);
    EXPECT_FALSE(model->devices.empty());
    for (const ChipDevice& device : model->devices) {
      std::set<std::string_view> names;
      for (const Attribute& attribute : device.attributes) {
        EXPECT_TRUE(names.insert(attribute.name).second) << device.name << '/' << attribute.name;
      }
    }
  }
  EXPECT_FALSE(find_chip("bosch,bmi16"));
}

}  // namespace
}  // namespace chips
