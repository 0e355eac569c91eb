#include "control/daemon/log_tail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/control/temporary_directory.h"

namespace ensemble::control {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class LogTail : public testing::Test {
 protected:
  std::string file(const std::string& text) const {
    const std::string path = directory_.path("log");
    std::ofstream(path) << text;
    return path;
  }
  const TemporaryDirectory directory_;
};

TEST_F(LogTail, GivesTheLastLinesOldestFirst) {
  EXPECT_THAT(last_lines(file("one\ntwo\nthree\n"), 2), ElementsAre("two", "three"));
  EXPECT_THAT(last_lines(file("one\ntwo"), 5), ElementsAre("one", "two"));
  EXPECT_THAT(last_lines(file(""), 5), IsEmpty());
  EXPECT_THAT(last_lines(file("\n"), 5), IsEmpty());
  EXPECT_THAT(last_lines(directory_.path("none"), 5), IsEmpty());
}

TEST_F(LogTail, BoundsLinesAndWhatItReads) {
  const auto lines = last_lines(file(std::string(200'000, 'x') + "\nlast\n"), 5);
  EXPECT_THAT(lines, ElementsAre("last"));
  EXPECT_EQ(last_lines(file(std::string(5000, 'y')), 1).front().size(), 1024U);
}

}  // namespace
}  // namespace ensemble::control
