#include "guest-kernel/linux/server/initial_stack.h"

#include <gtest/gtest.h>
#include <linux/auxvec.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

namespace linux_server {
namespace {

constexpr std::uint64_t kTop = 0x7000'0000;

class InitialStackTest : public testing::Test {
 protected:
  Result<InitialStack> build(std::size_t size) {
    memory_.assign(size, std::byte{});
    const AuxiliaryValue values[] = {{AT_PAGESZ, 4096}};
    const std::array<std::byte, 16> random = {};
    using namespace std::string_view_literals;
    return build_initial_stack(memory_, kTop, {"first\0second\0"sv, 2}, {"A=1\0"sv, 1},
                               "/bin/first", random, values);
  }
  std::uint64_t word(std::uint64_t address) const {
    std::uint64_t value = 0;
    std::memcpy(&value, memory_.data() + (address - (kTop - memory_.size())), sizeof(value));
    return value;
  }
  std::string text(std::uint64_t address) const {
    return reinterpret_cast<const char*>(memory_.data() + (address - (kTop - memory_.size())));
  }

  std::vector<std::byte> memory_;
};

TEST_F(InitialStackTest, HasWhatTheAbiAsksFor) {
  const auto stack = build(4096);
  ASSERT_TRUE(stack);
  std::uint64_t at = stack->pointer;
  EXPECT_EQ(at % 16, 0u);
  EXPECT_EQ(word(at), 2u);
  EXPECT_EQ(text(word(at + 8)), "first");
  EXPECT_EQ(text(word(at + 16)), "second");
  EXPECT_EQ(word(at + 24), 0u);
  EXPECT_EQ(text(word(at + 32)), "A=1");
  EXPECT_EQ(word(at + 40), 0u);
  at += 48;
  EXPECT_EQ(at, stack->auxiliary_start);
  EXPECT_EQ(word(at), std::uint64_t{AT_PAGESZ});
  EXPECT_EQ(word(at + 8), 4096u);
  EXPECT_EQ(word(at + 16), std::uint64_t{AT_RANDOM});
  EXPECT_EQ(word(at + 32), std::uint64_t{AT_EXECFN});
  EXPECT_EQ(text(word(at + 40)), "/bin/first");
  EXPECT_EQ(text(word(at + 56)), "x86_64");
  EXPECT_EQ(word(at + 64), std::uint64_t{AT_NULL});
  EXPECT_EQ(stack->auxiliary_end, at + 80);
  EXPECT_EQ(stack->arguments_end - stack->arguments_start, 13u);
}

TEST_F(InitialStackTest, SaysWhenItDoesNotFit) {
  for (std::size_t size = 0; size < 160; ++size) {
    const auto stack = build(size);
    ASSERT_FALSE(stack) << size;
    EXPECT_EQ(stack.error().number, E2BIG);
  }
}

}  // namespace
}  // namespace linux_server
