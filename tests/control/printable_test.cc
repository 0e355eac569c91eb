#include "control/printable.h"

#include <gtest/gtest.h>

namespace ensemble::control {
namespace {

TEST(Printable, LeavesNothingThatIsNoText) {
  EXPECT_EQ(printable("a\x1b[0m\xff\xc3\xa9"), "a?[0m?\xc3\xa9");
  EXPECT_EQ(printable("\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82"), "?????????");
}

}  // namespace
}  // namespace ensemble::control
