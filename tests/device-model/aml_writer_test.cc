#include "device-model/acpi/aml_writer.h"

#include <gtest/gtest.h>

#include "device-model/acpi/resource_template.h"

namespace ensemble::device {
namespace {

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    text += fmt::format("{}{:02x}", text.empty() ? "" : " ", std::to_integer<unsigned>(byte));
  }
  return text;
}

template <typename Write>
std::string written(Write&& write) {
  AmlWriter aml;
  write(aml);
  const auto bytes = aml.finish();
  return bytes ? hex(*bytes) : bytes.error().message();
}

// What a package length says, as a guest decodes it: its own size, and the length it tells.
struct Decoded {
  std::size_t size = 0;
  std::size_t length = 0;
};
Decoded decode(const std::vector<std::byte>& bytes) {
  const auto first = std::to_integer<std::size_t>(bytes[0]);
  const std::size_t following = first >> 6;
  if (following == 0) {
    return {1, first & 0x3f};
  }
  EXPECT_EQ(first & 0x30, 0u) << "reserved bits";
  std::size_t length = first & 0xf;
  for (std::size_t i = 0; i < following; ++i) {
    length |= std::to_integer<std::size_t>(bytes.at(1 + i)) << (4 + 8 * i);
  }
  return {1 + following, length};
}

TEST(AmlPackageLengthTest, IsTheShortestThatHoldsItself) {
  EXPECT_EQ(hex(aml_package_length(0)), "01");
  EXPECT_EQ(hex(aml_package_length(62)), "3f");
  EXPECT_EQ(hex(aml_package_length(63)), "41 04");
  EXPECT_EQ(hex(aml_package_length(4093)), "4f ff");
  EXPECT_EQ(hex(aml_package_length(4094)), "81 00 01");
  EXPECT_EQ(hex(aml_package_length(0xfffff - 3)), "8f ff ff");
  EXPECT_EQ(hex(aml_package_length(0xfffff - 2)), "c1 00 00 01");
  EXPECT_EQ(hex(aml_package_length(0xfffffff - 4)), "cf ff ff ff");
}

TEST(AmlPackageLengthTest, CountsContentsAndItself) {
  for (const std::size_t edge : {0u, 63u, 4095u, 0xfffffu}) {
    for (std::size_t contents = edge < 8 ? 0 : edge - 8; contents < edge + 8; ++contents) {
      const auto bytes = aml_package_length(contents);
      const Decoded decoded = decode(bytes);
      EXPECT_EQ(decoded.size, bytes.size()) << contents;
      EXPECT_EQ(decoded.length, contents + bytes.size()) << contents;
    }
  }
}

TEST(AmlWriterTest, PadsAndPrefixesNames) {
  const auto name = [](const char* path) {
    return written([&](AmlWriter& aml) { aml.name(path); });
  };
  EXPECT_EQ(name("A"), "08 41 5f 5f 5f");
  EXPECT_EQ(name("_HID"), "08 5f 48 49 44");
  EXPECT_EQ(name("\\_S5"), "08 5c 5f 53 35 5f");
  EXPECT_EQ(name("\\_SB.I2C0"), "08 5c 2e 5f 53 42 5f 49 32 43 30");
  EXPECT_EQ(name("_SB.I2C0.CH68"), "08 2f 03 5f 53 42 5f 49 32 43 30 43 48 36 38");
  EXPECT_EQ(name("\\"), "08 5c 00");
}

TEST(AmlWriterTest, RefusesNamesThatAcpiHasNot) {
  for (const char* const bad : {"", "ABCDE", "1ABC", "abc", "A-B", "_SB.", "._SB", "_SB..A"}) {
    const std::string text = written([&](AmlWriter& aml) { aml.name(bad); });
    EXPECT_NE(text.find("is no name segment of ACPI"), std::string::npos) << bad << ": " << text;
  }
}

TEST(AmlWriterTest, WritesIntegersInTheFewestBytes) {
  const auto integer = [](std::uint64_t value) {
    return written([&](AmlWriter& aml) { aml.integer(value); });
  };
  EXPECT_EQ(integer(0), "00");
  EXPECT_EQ(integer(1), "01");
  EXPECT_EQ(integer(2), "0a 02");
  EXPECT_EQ(integer(0xff), "0a ff");
  EXPECT_EQ(integer(0x100), "0b 00 01");
  EXPECT_EQ(integer(0x10000), "0c 00 00 01 00");
  EXPECT_EQ(integer(0x1'0000'0000), "0e 00 00 00 00 01 00 00 00");
}

TEST(AmlWriterTest, WritesValues) {
  EXPECT_EQ(written([](AmlWriter& aml) { aml.string("LNRO0005"); }),
            "0d 4c 4e 52 4f 30 30 30 35 00");
  EXPECT_EQ(written([](AmlWriter& aml) { aml.eisa_id("PNP0501"); }), "0c 41 d0 05 01");
  EXPECT_EQ(written([](AmlWriter& aml) { aml.hardware_id("PNP0B00"); }), "0c 41 d0 0b 00");
  EXPECT_EQ(written([](AmlWriter& aml) { aml.hardware_id("AMDI0010"); }),
            "0d 41 4d 44 49 30 30 31 30 00");
  EXPECT_EQ(written([](AmlWriter& aml) { aml.uuid("daffd814-6eba-4d8c-8a91-bc9bbf4aa301"); }),
            "11 13 0a 10 14 d8 ff da ba 6e 8c 4d 8a 91 bc 9b bf 4a a3 01");
  EXPECT_EQ(written([](AmlWriter& aml) {
              aml.package([&] {
                aml.integer(5);
                aml.package([&] { aml.string("a"); });
                aml.integer(0);
              });
            }),
            "12 0b 03 0a 05 12 05 01 0d 61 00 00");
}

TEST(AmlWriterTest, RefusesValuesThatAcpiHasNot) {
  EXPECT_EQ(written([](AmlWriter& aml) { aml.string("caf\xc3\xa9"); }),
            "'caf\xc3\xa9' is no string of ACPI, which are ASCII");
  EXPECT_EQ(written([](AmlWriter& aml) { aml.eisa_id("pnp0501"); }),
            "'pnp0501' is no hardware ID of three capital letters and four hexadecimal digits");
  EXPECT_EQ(written([](AmlWriter& aml) { aml.uuid("daffd814-6eba"); }),
            "'daffd814-6eba' is no UUID");
  EXPECT_EQ(written([](AmlWriter& aml) { aml.method("M", 8, false, [] {}); }),
            "method 'M' has 8 arguments; at most 7 are possible");
  EXPECT_EQ(written([](AmlWriter& aml) {
              aml.package([&] {
                for (int i = 0; i < 256; ++i) {
                  aml.integer(0);
                }
              });
            }),
            "a package has 256 elements; at most 255 are possible");
}

TEST(AmlWriterTest, BracketsContents) {
  EXPECT_EQ(written([](AmlWriter& aml) { aml.scope("\\_SB", [] {}); }), "10 06 5c 5f 53 42 5f");
  EXPECT_EQ(written([](AmlWriter& aml) {
              aml.device("A", [&] { aml.method("M", 1, true, [&] { aml.notify("A", 0x80); }); });
            }),
            "5b 82 13 41 5f 5f 5f 14 0d 4d 5f 5f 5f 09 86 41 5f 5f 5f 0a 80");
  // More than 63 bytes: the length has two.
  const std::string text = written(
      [](AmlWriter& aml) { aml.scope("\\_SB", [&] { aml.string(std::string(60, 'x')); }); });
  EXPECT_TRUE(text.starts_with("10 45 04 5c 5f 53 42 5f 0d 78")) << text;
}

template <typename Write>
std::string resources(Write&& write) {
  ResourceTemplate resources;
  write(resources);
  const auto bytes = resources.finish();
  return bytes ? hex(*bytes) : bytes.error().message();
}

TEST(ResourceTemplateTest, WritesDescriptors) {
  EXPECT_EQ(resources([](ResourceTemplate&) {}), "79 00");
  EXPECT_EQ(resources([](ResourceTemplate& list) { list.memory(0xd000'1000, 0x200); }),
            "86 09 00 01 00 10 00 d0 00 02 00 00 79 00");
  EXPECT_EQ(resources([](ResourceTemplate& list) { list.ports(0x3f8, 8); }),
            "47 01 f8 03 f8 03 01 08 79 00");
  EXPECT_EQ(resources([](ResourceTemplate& list) { list.interrupt(17, Trigger::kEdgeRising); }),
            "89 06 00 03 01 11 00 00 00 79 00");
  EXPECT_EQ(resources([](ResourceTemplate& list) { list.interrupt(300, Trigger::kLevelLow); }),
            "89 06 00 05 01 2c 01 00 00 79 00");
}

TEST(ResourceTemplateTest, RefusesWhatDescriptorsCannotHold) {
  EXPECT_EQ(resources([](ResourceTemplate& list) { list.memory(0x1'0000'0000, 0x1000); }),
            "registers at 0x100000000 with 0x1000 bytes do not lie below 4 GiB");
  EXPECT_EQ(resources([](ResourceTemplate& list) { list.i2c(0x80, 400'000, "\\_SB.I2C0"); }),
            "0x80 is no I2C address: they have 7 bits");
}

}  // namespace
}  // namespace ensemble::device
