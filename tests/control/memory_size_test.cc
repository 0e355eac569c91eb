#include "control/memory_size.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ensemble::control {
namespace {

TEST(MemorySize, KnowsItsUnits) {
  EXPECT_EQ(parse_memory_size("16"), 16ULL << 20);
  EXPECT_EQ(parse_memory_size("2048K"), 2ULL << 20);
  EXPECT_EQ(parse_memory_size("512M"), 512ULL << 20);
  EXPECT_EQ(parse_memory_size("512MiB"), 512ULL << 20);
  EXPECT_EQ(parse_memory_size("2G"), 2ULL << 30);
  EXPECT_EQ(parse_memory_size("2GiB"), 2ULL << 30);
}

TEST(MemorySize, RefusesWhatIsNoSize) {
  for (const char* text : {"", "M", "-1M", "1.5G", "12X", "12MB", "1 G", "0x10", " 16M", "16M "}) {
    const auto size = parse_memory_size(text);
    ASSERT_FALSE(size) << text;
    EXPECT_THAT(size.error().message(), testing::HasSubstr("no memory size")) << text;
  }
}

TEST(MemorySize, RefusesWhatOverflows) {
  for (const char* text : {"99999999999999999999", "18446744073709551615G", "17592186044416M"}) {
    const auto size = parse_memory_size(text);
    ASSERT_FALSE(size) << text;
    EXPECT_THAT(size.error().message(), testing::HasSubstr("too large")) << text;
  }
}

}  // namespace
}  // namespace ensemble::control
