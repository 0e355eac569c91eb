#include "vmm/event_loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "test_support.h"
#include "vmm/timer.h"

namespace ensemble::vmm {
namespace {

using std::chrono::milliseconds;

class EventLoopTest : public ::testing::Test {
 protected:
  int run_ready() { return take(loop->run_once(milliseconds(0))); }

  std::unique_ptr<EventLoop> loop = take(EventLoop::create());
  EventFd event = take(EventFd::create());
  int calls = 0;
};

TEST_F(EventLoopTest, CallsHandlersWithTheDeviceLockHeld) {
  auto watch = take(loop->watch(event.fd(), EPOLLIN, [&](uint32_t events) {
    EXPECT_EQ(events, uint32_t{EPOLLIN});
    EXPECT_TRUE(loop->device_lock().held_by_this_thread());
    event.drain();
    ++calls;
  }));
  EXPECT_EQ(run_ready(), 0);
  event.signal();
  event.signal();
  EXPECT_EQ(run_ready(), 1);
  EXPECT_EQ(run_ready(), 0);
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(loop->device_lock().held_by_this_thread());
}

TEST_F(EventLoopTest, IsLevelTriggered) {
  auto watch = take(loop->watch(event.fd(), EPOLLIN, [&](uint32_t) { ++calls; }));
  event.signal();
  run_ready();
  run_ready();
  EXPECT_EQ(calls, 2);
}

TEST_F(EventLoopTest, DestroyedWatchIsSilent) {
  {
    auto watch = take(loop->watch(event.fd(), EPOLLIN, [&](uint32_t) { ++calls; }));
    event.signal();
  }
  EXPECT_EQ(run_ready(), 0);
  EXPECT_EQ(calls, 0);
}

TEST_F(EventLoopTest, HandlerMayDestroyItsOwnAndOtherWatches) {
  EventFd other = take(EventFd::create());
  FdWatch first;
  FdWatch second;
  const auto destroy_both = [&](uint32_t) {
    ++calls;
    first = FdWatch();
    second = FdWatch();
  };
  first = take(loop->watch(event.fd(), EPOLLIN, destroy_both));
  second = take(loop->watch(other.fd(), EPOLLIN, destroy_both));
  event.signal();
  other.signal();
  run_ready();
  run_ready();
  EXPECT_EQ(calls, 1) << "both were ready, one call ended both";
}

TEST_F(EventLoopTest, ChangesEvents) {
  auto watch = take(loop->watch(event.fd(), 0, [&](uint32_t) { ++calls; }));
  event.signal();
  EXPECT_EQ(run_ready(), 0);
  take(watch.set_events(EPOLLIN));
  EXPECT_EQ(run_ready(), 1);
  take(watch.set_events(0));
  EXPECT_EQ(run_ready(), 0);
  EXPECT_TRUE(static_cast<bool>(watch));
  EXPECT_FALSE(FdWatch().set_events(EPOLLIN));
}

TEST_F(EventLoopTest, RefusesWhatCannotBeWatched) {
  TemporaryFolder folder;
  const FileDescriptor file(::open(folder.write("file", {}).c_str(), O_RDONLY));
  EXPECT_EQ(loop->watch(file.get(), EPOLLIN, [](uint32_t) {}).error().error_number(), EPERM);
  EXPECT_FALSE(loop->watch(-1, EPOLLIN, [](uint32_t) {}));
}

TEST_F(EventLoopTest, MovedWatchStaysWatched) {
  auto watch = take(loop->watch(event.fd(), EPOLLIN, [&](uint32_t) { ++calls; }));
  FdWatch moved(std::move(watch));
  FdWatch assigned;
  assigned = std::move(moved);
  event.signal();
  run_ready();
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, RunsPostedFunctionsInOrderFromAnyThread) {
  std::vector<int> order;
  std::thread poster([&] {
    for (int i = 0; i < 100; ++i) {
      loop->post([&order, i] { order.push_back(i); });
    }
    loop->post([this] { loop->stop(); });
  });
  take(loop->run());
  poster.join();
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST_F(EventLoopTest, PostedFunctionsMayPost) {
  loop->post([this] { loop->post([this] { ++calls; }); });
  run_ready();
  run_ready();
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, StopBeforeRunEndsItAtOnceAndOnlyOnce) {
  loop->stop();
  take(loop->run());
  loop->post([this] {
    ++calls;
    loop->stop();
  });
  take(loop->run());
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, HandlersAndHoldersOfTheLockDoNotOverlap) {
  int value = 0;  // Guarded by the device lock.
  constexpr int kRounds = 1000;
  std::thread other([&] {
    for (int i = 0; i < kRounds; ++i) {
      const std::lock_guard guard(loop->device_lock());
      ++value;
      loop->post([&value] { ++value; });
    }
    loop->post([this] { loop->stop(); });
  });
  take(loop->run());
  other.join();
  EXPECT_EQ(value, 2 * kRounds);
}

TEST_F(EventLoopTest, TimerExpiresOnceOrAgainAndAgain) {
  auto timer = take(Timer::create(*loop, [&] { ++calls; }));
  EXPECT_EQ(take(loop->run_once(milliseconds(2))), 0) << "starts disarmed";
  timer->arm(milliseconds(1));
  EXPECT_EQ(take(loop->run_once(milliseconds(5000))), 1);
  EXPECT_EQ(take(loop->run_once(milliseconds(5))), 0);
  timer->arm(std::chrono::nanoseconds(0), milliseconds(1));
  take(loop->run_once(milliseconds(5000)));
  take(loop->run_once(milliseconds(5000)));
  EXPECT_EQ(calls, 3);
  timer->disarm();
  EXPECT_EQ(take(loop->run_once(milliseconds(5))), 0);
}

TEST(EventFd, CountsSignals) {
  const EventFd event = take(EventFd::create());
  EXPECT_EQ(event.drain(), 0u);
  event.signal();
  event.signal();
  EXPECT_EQ(event.drain(), 2u);
  EXPECT_EQ(event.drain(), 0u);
}

}  // namespace
}  // namespace ensemble::vmm
