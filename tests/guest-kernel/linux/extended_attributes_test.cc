#include "guest-kernel/linux/server/extended_attributes.h"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <string>

namespace linux_server {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string value_of(MemoryAttributes& attributes, std::string_view name) {
  std::array<char, 64> buffer{};
  const auto size = attributes.get(name, std::as_writable_bytes(std::span(buffer)));
  return size ? std::string(buffer.data(), *size) : "error " + std::to_string(size.error().number);
}

TEST(MemoryAttributes, KeepWhatTheyAreGiven) {
  MemoryAttributes attributes;
  EXPECT_EQ(attributes.get("user.a", {}).error().number, ENODATA);
  ASSERT_TRUE(attributes.set("user.a", bytes_of("one")));
  ASSERT_TRUE(attributes.set("user.b", {}));
  ASSERT_TRUE(attributes.set("user.a", bytes_of("another")));
  EXPECT_EQ(value_of(attributes, "user.a"), "another");
  EXPECT_EQ(value_of(attributes, "user.b"), "");
  std::array<char, 64> names{};
  const auto size = attributes.list(std::as_writable_bytes(std::span(names)));
  EXPECT_EQ(std::string(names.data(), size.value_or(0)), std::string("user.a\0user.b\0", 14));
  EXPECT_EQ(attributes.list({}).value_or(0), 14u);
  ASSERT_TRUE(attributes.remove("user.a"));
  EXPECT_EQ(attributes.remove("user.a").error().number, ENODATA);
  EXPECT_EQ(attributes.list({}).value_or(0), 7u);
}

TEST(MemoryAttributes, TellTheSizeOfWhatDoesNotFit) {
  MemoryAttributes attributes;
  ASSERT_TRUE(attributes.set("user.a", bytes_of("seven77")));
  std::array<std::byte, 3> small{};
  EXPECT_EQ(attributes.get("user.a", small).value_or(0), 7u);
  EXPECT_EQ(small[0], std::byte{});
  EXPECT_EQ(attributes.list(small).value_or(0), 7u);
}

TEST(MemoryAttributes, HaveAnEndAndGiveBackWhatTheyTook) {
  const std::string large(60'000, 'x');
  for (int round = 0; round < 3; ++round) {
    MemoryAttributes attributes;
    int made = 0;
    while (attributes.set("user." + std::to_string(made), bytes_of(large))) {
      ASSERT_LT(++made, 100);
    }
    EXPECT_EQ(made, static_cast<int>(MemoryAttributes::kMost / (60'000 + 22)));
    ASSERT_TRUE(attributes.remove("user.0"));
    EXPECT_TRUE(attributes.set("user.again", bytes_of(large)));
  }
}

}  // namespace
}  // namespace linux_server
