#include "guest-kernel/linux/server/files/input_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <tuple>
#include <vector>

#include "guest-kernel/linux/server/files/input_codes.h"

namespace linux_server {
namespace {

using Event = std::tuple<int, int, int>;  // type, code, value

class InputQueueTest : public testing::Test {
 protected:
  void add(std::uint16_t type, std::uint16_t code, std::int32_t value) {
    input_event event{};
    event.type = type;
    event.code = code;
    event.value = value;
    queue_->add(event);
  }
  void end_report() { add(EV_SYN, SYN_REPORT, 0); }

  std::vector<Event> take() {
    std::vector<Event> events;
    while (queue_->is_readable()) {
      const input_event& event = queue_->front();
      events.emplace_back(event.type, event.code, event.value);
      queue_->pop();
    }
    return events;
  }

  const Event end_{EV_SYN, SYN_REPORT, 0};
  const Event dropped_{EV_SYN, SYN_DROPPED, 0};
  std::unique_ptr<InputQueue> queue_ = std::make_unique<InputQueue>();
};

TEST_F(InputQueueTest, GivesWholeReports) {
  EXPECT_FALSE(queue_->is_readable());
  add(EV_KEY, KEY_POWER, 1);
  EXPECT_FALSE(queue_->is_readable());
  end_report();
  add(EV_KEY, KEY_POWER, 0);
  EXPECT_EQ(take(), (std::vector<Event>{{EV_KEY, KEY_POWER, 1}, end_}));
  end_report();
  EXPECT_EQ(take(), (std::vector<Event>{{EV_KEY, KEY_POWER, 0}, end_}));
}

TEST_F(InputQueueTest, TellsWhatItHasLost) {
  constexpr int kReports = 1000;
  for (int i = 0; i < kReports; ++i) {
    add(EV_REL, REL_WHEEL, i);
    end_report();
  }
  const std::vector<Event> events = take();
  ASSERT_GE(events.size(), 3U);
  EXPECT_LT(events.size(), InputQueue::kSize);
  EXPECT_EQ(events[0], dropped_);
  EXPECT_EQ(events[events.size() - 2], (Event{EV_REL, REL_WHEEL, kReports - 1}));
  EXPECT_EQ(events.back(), end_);
  EXPECT_EQ(std::ranges::count(events, dropped_), 1);
}

TEST_F(InputQueueTest, IsWholeAgainAfterAReportWithoutAnEnd) {
  for (std::size_t i = 0; i < 3 * InputQueue::kSize; ++i) {
    add(EV_REL, REL_WHEEL, 1);
  }
  EXPECT_FALSE(queue_->is_readable());
  end_report();
  EXPECT_EQ(take().front(), dropped_);
}

TEST_F(InputQueueTest, DropsEventsOfOneTypeAndTheReportsOfThemAlone) {
  add(EV_ABS, ABS_X, 1);
  add(EV_KEY, BTN_TOUCH, 1);
  end_report();
  add(EV_KEY, BTN_TOUCH, 0);
  end_report();
  add(EV_ABS, ABS_X, 2);
  queue_->drop(EV_KEY);
  EXPECT_EQ(take(), (std::vector<Event>{{EV_ABS, ABS_X, 1}, end_}));
  end_report();
  EXPECT_EQ(take(), (std::vector<Event>{{EV_ABS, ABS_X, 2}, end_}));
}

TEST_F(InputQueueTest, LeavesOutTheEndOfAReportOfWhichNothingWaits) {
  end_report();
  EXPECT_FALSE(queue_->is_readable());
  add(EV_KEY, KEY_POWER, 1);
  queue_->drop(EV_KEY);
  end_report();
  EXPECT_FALSE(queue_->is_readable());
  add(EV_KEY, KEY_POWER, 0);
  end_report();
  end_report();
  EXPECT_EQ(take(), (std::vector<Event>{{EV_KEY, KEY_POWER, 0}, end_}));
}

TEST(InputCodesTest, OnlyCodesThatTheirTypeHasAreKept) {
  guest::InputDescription description{};
  for (auto& bits : description.codes) {
    bits.fill(0xff);
  }
  clear_unknown_codes(description);
  for (std::size_t type = 0; type < description.codes.size(); ++type) {
    for (std::size_t code = 0; code < guest::kInputCodeBytes * 8; ++code) {
      EXPECT_EQ(description.codes[type][code / 8] >> code % 8 & 1,
                code < input_code_count(type) ? 1 : 0)
          << type << ", " << code;
    }
  }
}

TEST_F(InputQueueTest, DropsAll) {
  queue_->drop_all({});
  EXPECT_FALSE(queue_->is_readable());
  add(EV_KEY, KEY_POWER, 1);
  end_report();
  queue_->drop_all({});
  EXPECT_FALSE(queue_->is_readable());
  add(EV_KEY, KEY_POWER, 0);
  end_report();
  EXPECT_EQ(take(), (std::vector<Event>{dropped_, {EV_KEY, KEY_POWER, 0}, end_}));
}

}  // namespace
}  // namespace linux_server
