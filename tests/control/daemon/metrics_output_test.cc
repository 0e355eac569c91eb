// The table of `ensemble top`.

#include "control/cli/metrics_output.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

namespace ensemble::control {
namespace {

using google::protobuf::util::TimeUtil;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// A device's reading at a time, with so much processor time, both in ms.
v1::DeviceMetrics reading(const std::string& name, std::int64_t time, std::int64_t processor,
                          std::uint64_t exits = 0) {
  v1::DeviceMetrics metrics;
  metrics.set_name("devices/" + name);
  metrics.set_uid("uid-of-" + name);
  metrics.set_state(v1::DEVICE_STATE_RUNNING);
  metrics.set_process_id(100);
  *metrics.mutable_time() = TimeUtil::SecondsToTimestamp(1'000'000);
  *metrics.mutable_monotonic_time() = TimeUtil::MillisecondsToDuration(time);
  *metrics.mutable_processor_time() = TimeUtil::MillisecondsToDuration(processor);
  *metrics.add_virtual_processor_times() = TimeUtil::MillisecondsToDuration(processor / 2);
  metrics.set_touched_bytes(3 << 20);
  (*metrics.mutable_exits())["mmio_read"] = exits;
  metrics.add_queues()->set_completed(exits * 2);
  return metrics;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(line);
  }
  return lines;
}

TEST(DeviceRates, AreDifferencesOverTheMonotonicClock) {
  v1::DeviceMetrics after = reading("one", 3000, 1500, 300);
  // The wall clock went back by a day.
  *after.mutable_time() = TimeUtil::SecondsToTimestamp(1'000'000 - 86'400);
  const DeviceRates rates = rates_between(reading("one", 1000, 500, 100), after);
  EXPECT_DOUBLE_EQ(rates.processor.value(), 50);
  EXPECT_DOUBLE_EQ(rates.virtual_processors.value(), 25);
  EXPECT_DOUBLE_EQ(rates.exits_per_second.value(), 100);
  EXPECT_DOUBLE_EQ(rates.requests_per_second.value(), 200);
}

TEST(DeviceRates, AreAbsentWhereTheyCannotBeTold) {
  const v1::DeviceMetrics before = reading("one", 1000, 500, 100);
  const auto processor = [&](const v1::DeviceMetrics& after) {
    return rates_between(before, after).processor;
  };
  EXPECT_FALSE(processor(before));                     // No time has passed.
  EXPECT_FALSE(processor(reading("one", 900, 600)));   // It went back: another host's.
  EXPECT_FALSE(processor(reading("two", 2000, 600)));  // Another device.
  EXPECT_FALSE(processor(reading("one", 2000, 400)));  // The counter has begun anew.
  v1::DeviceMetrics restarted = reading("one", 2000, 600);
  restarted.set_process_id(101);
  EXPECT_FALSE(processor(restarted));
  v1::DeviceMetrics untold = reading("one", 2000, 600);
  untold.clear_monotonic_time();
  EXPECT_FALSE(processor(untold));
  // A reset machine's exits begin at zero; its process goes on.
  const DeviceRates reset = rates_between(before, reading("one", 2000, 600, 3));
  EXPECT_TRUE(reset.processor);
  EXPECT_FALSE(reset.exits_per_second);
}

TEST(MetricsTable, HasTheBusiestFirst) {
  v1::DeviceMetrics stopped;
  stopped.set_name("devices/stopped");
  stopped.set_uid("s");
  stopped.set_state(v1::DEVICE_STATE_STOPPED);
  const std::string table =
      metrics_table({reading("idle", 0, 0), reading("busy", 0, 0)},
                    {stopped, reading("idle", 1000, 10), reading("busy", 1000, 990)}, {});
  const auto lines = lines_of(table);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_THAT(lines[0], StartsWith("NAME     STATE    CPU%  RAM"));
  EXPECT_THAT(lines[1], StartsWith("busy     running  99.0  3.0M"));
  EXPECT_THAT(lines[2], StartsWith("idle     running  1.0"));
  EXPECT_THAT(lines[3], StartsWith("stopped  stopped  -     -"));
  EXPECT_THAT(table, Not(HasSubstr("\x1b")));
}

TEST(MetricsTable, KeepsToTheTerminalsSize) {
  std::vector<v1::DeviceMetrics> devices;
  for (int i = 0; i < 10; ++i) {
    devices.push_back(reading("device-" + std::to_string(i), 1000, 10));
  }
  for (const unsigned columns : {1U, 5U, 12U, 20U, 80U}) {
    const auto lines = lines_of(metrics_table({}, devices, {.columns = columns, .rows = 4}));
    ASSERT_EQ(lines.size(), 4U);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_LE(lines[i].size(), columns);
    }
    EXPECT_EQ(lines[3], "and 8 more");
  }
  EXPECT_EQ(lines_of(metrics_table({}, devices, {.rows = 11})).size(), 11U);
}

TEST(MetricsTable, ColoursTheStateWhereItIsWhole) {
  const std::vector<v1::DeviceMetrics> devices = {reading("one", 1000, 10)};
  EXPECT_THAT(metrics_table({}, devices, {.colours = true}),
              HasSubstr("one   \x1b[32mrunning  \x1b[0m"));
  EXPECT_THAT(metrics_table({}, devices, {.colours = true, .columns = 8}), Not(HasSubstr("\x1b")));
}

TEST(MetricsTable, SumsUp) {
  EXPECT_EQ(metrics_summary({reading("one", 0, 0)}, {reading("one", 1000, 1040)}),
            "1 device, 1 running, 104.0% CPU");
  EXPECT_EQ(metrics_summary({}, {}), "0 devices, 0 running, 0.0% CPU");
}

}  // namespace
}  // namespace ensemble::control
