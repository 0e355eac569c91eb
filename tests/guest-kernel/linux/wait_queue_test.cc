#include <gtest/gtest.h>

#include <deque>

#include "guest-kernel/linux/server/task.h"

namespace linux_server {
namespace {

// Passes on to another queue that one was woken.
class Link : public WaitObserver {
 public:
  Link(WaitQueue& from, WaitQueue& to, std::uint64_t& count) : to_(to), count_(count) {
    observe(from);
  }
  ~Link() { stop_observing(); }

 private:
  void woken(std::uint32_t events) override {
    ++count_;
    to_.wake(events);
  }

  WaitQueue& to_;
  std::uint64_t& count_;
};

TEST(WaitQueue, IsWokenOnceByHoweverManyWays) {
  constexpr std::size_t kRows = 6;
  constexpr std::size_t kWidth = 20;
  WaitQueue source;
  WaitQueue rows[kRows][kWidth];
  std::uint64_t count = 0;
  std::deque<Link> links;
  for (std::size_t row = 0; row < kRows; ++row) {
    for (WaitQueue& upper : rows[row]) {
      for (std::size_t index = 0; index < (row == 0 ? 1 : kWidth); ++index) {
        links.emplace_back(row == 0 ? source : rows[row - 1][index], upper, count);
      }
    }
  }
  source.wake();
  EXPECT_EQ(count, links.size());
  source.wake();
  EXPECT_EQ(count, 2 * links.size());
  rows[kRows - 2][0].wake();
  EXPECT_EQ(count, 2 * links.size() + kWidth);
}

}  // namespace
}  // namespace linux_server
