#include "device-model/quantity.h"

#include <gtest/gtest.h>

namespace ensemble::device {
namespace {

TEST(Quantity, ReadsUnitsAndFractions) {
  EXPECT_EQ(parse_quantity("512 MiB", kMemorySize).value(), 512ULL << 20);
  EXPECT_EQ(parse_quantity("1.5GiB", kMemorySize).value(), 1536ULL << 20);
  EXPECT_EQ(parse_quantity(" 4600 mAh ", kCharge).value(), 4'600'000U);
  EXPECT_EQ(parse_quantity("1.19 Wh", kEnergy).value(), 1'190'000U);
  EXPECT_EQ(parse_quantity("276 ppi", kDensity).value(), 276U);
  EXPECT_EQ(parse_quantity("400 kHz", kFrequency).value(), 400'000U);
  EXPECT_EQ(parse_quantity("0 px", kPixels).value(), 0U);
}

TEST(Quantity, SaysWhatWasExpected) {
  EXPECT_EQ(parse_quantity("4600 Wh", kCharge).error().message(),
            "expected an electric charge in mAh or Ah, such as '4600 mAh', but found '4600 Wh'");
  for (const char* text :
       {"", "MiB", "512", "512 mib", "512 MiB x", "-1 MiB", "1-2 MiB", "1. MiB", ".5 MiB",
        "0x10 MiB", "1e3 MiB", "1234567890123 MiB", "0.1234567 MiB", "1 2 MiB"}) {
    const auto value = parse_quantity(text, kMemorySize);
    ASSERT_FALSE(value) << text;
    EXPECT_NE(value.error().message().find("expected an amount of memory in KiB or MiB or GiB"),
              std::string::npos)
        << value.error().message();
  }
}

TEST(Quantity, RejectsWhatNoWholeNumberHolds) {
  EXPECT_FALSE(parse_quantity("0.5 px", kPixels));
  EXPECT_FALSE(parse_quantity("999999999999.999999 GiB", kMemorySize));
  EXPECT_FALSE(parse_quantity("0.000001 KiB", kMemorySize));
}

TEST(Quantity, ReadsRanges) {
  const auto range = parse_quantity_range("60-120 Hz", kFrequency);
  EXPECT_EQ(range->low, 60U);
  EXPECT_EQ(range->high, 120U);
  const auto voltage = parse_quantity_range("3.0 - 4.4 V", kVoltage);
  EXPECT_EQ(voltage->low, 3'000'000U);
  EXPECT_EQ(voltage->high, 4'400'000U);
  EXPECT_EQ(parse_quantity_range("60 Hz", kFrequency)->high, 60U);
  EXPECT_FALSE(parse_quantity_range("60- Hz", kFrequency));
  EXPECT_FALSE(parse_quantity_range("60-120", kFrequency));
  EXPECT_EQ(parse_quantity_range("120-60 Hz", kFrequency).error().message(),
            "the range '120-60 Hz' starts above its end");
}

TEST(Quantity, FormatsInTheLargestWholeUnit) {
  EXPECT_EQ(format_quantity(512ULL << 20, kMemorySize), "512 MiB");
  EXPECT_EQ(format_quantity(32ULL << 30, kMemorySize), "32 GiB");
  EXPECT_EQ(format_quantity(1'190'000, kEnergy), "1190 mWh");
  EXPECT_EQ(format_quantity(276, kDensity), "276 dpi");
  EXPECT_EQ(format_quantity(0, kMemorySize), "0 KiB");
  EXPECT_EQ(format_quantity(512, kMemorySize), "0.5 KiB");
}

TEST(Integer, ReadsDecimalAndHexadecimal) {
  EXPECT_EQ(parse_integer("104").value(), 104U);
  EXPECT_EQ(parse_integer("0x68").value(), 0x68U);
  for (const char* text : {"", "0x", "-1", "+1", "1 ", "12a", "99999999999999999999", "0xg"}) {
    EXPECT_FALSE(parse_integer(text)) << text;
  }
}

}  // namespace
}  // namespace ensemble::device
