#include "guest-kernel/linux/server/ipc/event_timer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>

#include "guest-kernel/linux/server/task.h"

namespace linux_server {
namespace {

class Alarm : public EventTimer {
 public:
  bool has_expired = false;

 private:
  void expire() override { has_expired = true; }
};

TEST(EventTimers, ExpireInTheirOrderHoweverTheyWereSetAndCancelled) {
  std::array<Alarm, 200> alarms;
  std::mt19937 random(1);
  for (int round = 0; round < 20'000; ++round) {
    Alarm& alarm = alarms[random() % alarms.size()];
    if (random() % 3 == 0) {
      alarm.cancel();
    } else {
      alarm.set(1000 + random() % 1000);
    }
    std::uint64_t earliest = Task::kNever;
    for (const Alarm& each : alarms) {
      earliest = each.is_set() ? std::min(earliest, each.deadline()) : earliest;
    }
    ASSERT_EQ(next_event_deadline(), earliest);
  }
  for (std::uint64_t now = 1000; now < 2000; now += 50) {
    std::array<bool, 200> was_set;
    std::ranges::transform(alarms, was_set.begin(), &Alarm::is_set);
    run_due_events(now);
    for (std::size_t index = 0; index < alarms.size(); ++index) {
      const Alarm& alarm = alarms[index];
      EXPECT_EQ(alarm.is_set(), was_set[index] && alarm.deadline() > now);
      EXPECT_TRUE(alarm.has_expired || !was_set[index] || alarm.is_set());
    }
  }
  run_due_events(2000);
  EXPECT_EQ(next_event_deadline(), Task::kNever);
}

}  // namespace
}  // namespace linux_server
