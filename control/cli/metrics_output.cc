#include "control/cli/metrics_output.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <numeric>
#include <string_view>
#include <utility>

#include "control/cli/device_output.h"

namespace ensemble::control {
namespace {

using google::protobuf::util::TimeUtil;

constexpr std::size_t kStateColumn = 1;
constexpr std::size_t kShortUid = 12;
constexpr double kMebibyte = 1 << 20;

struct Row {
  v1::DeviceState state{};
  double processor = 0;  // What rows are sorted by.
  std::vector<std::string> cells;
};

std::int64_t nanoseconds(const google::protobuf::Duration& duration) {
  return TimeUtil::DurationToNanoseconds(duration);
}

std::int64_t virtual_processor_time(const v1::DeviceMetrics& metrics) {
  std::int64_t sum = 0;
  for (const auto& time : metrics.virtual_processor_times()) {
    sum += nanoseconds(time);
  }
  return sum;
}

std::int64_t exits_of(const v1::DeviceMetrics& metrics) {
  std::int64_t sum = 0;
  for (const auto& [reason, count] : metrics.exits()) {
    sum += static_cast<std::int64_t>(count);
  }
  return sum;
}

std::int64_t requests_of(const v1::DeviceMetrics& metrics) {
  std::int64_t sum = 0;
  for (const v1::QueueMetrics& queue : metrics.queues()) {
    sum += static_cast<std::int64_t>(queue.completed());
  }
  return sum;
}

// To a tenth, as it is shown: what looks the same is not sorted.
double rounded(double value) {
  return std::round(value * 10) / 10;
}

std::string number(const std::optional<double>& value) {
  return value ? fmt::format("{:.1f}", *value) : "-";
}

std::string whole_number(const std::optional<double>& value) {
  return value ? fmt::format("{:.0f}", *value) : "-";
}

std::string size(const v1::DeviceMetrics& metrics, std::uint64_t bytes) {
  return metrics.has_time() && bytes != 0
             ? fmt::format("{:.1f}M", static_cast<double>(bytes) / kMebibyte)
             : "-";
}

// The last phase of its boot that it has come to.
std::string boot_of(const v1::BootMetrics& boot) {
  const auto in_ms = [](const char* phase, const google::protobuf::Duration& time) {
    return fmt::format("{} {}ms", phase, TimeUtil::DurationToMilliseconds(time));
  };
  return boot.has_last_driver()       ? in_ms("drivers", boot.last_driver())
         : boot.has_machine_started() ? in_ms("machine", boot.machine_started())
                                      : "-";
}

std::vector<std::string> header(bool wide) {
  std::vector<std::string> cells = {"NAME",     "STATE",   "CPU%",   "RAM",
                                    "OVERHEAD", "EXITS/S", "REQS/S", "BOOT"};
  if (wide) {
    cells.insert(cells.end(), {"VCPU%", "WAITING", "IN-FLIGHT", "PROCESS", "ID", "PROBLEM"});
  }
  return cells;
}

Row row_of(const v1::DeviceMetrics& metrics, const DeviceRates& rates, bool wide) {
  Row row{.state = metrics.state(), .processor = rounded(rates.processor.value_or(0)), .cells = {}};
  row.cells = {short_name(metrics.name()),
               state_text(metrics.state()),
               number(rates.processor),
               size(metrics, metrics.touched_bytes()),
               size(metrics, metrics.overhead_bytes()),
               whole_number(rates.exits_per_second),
               whole_number(rates.requests_per_second),
               boot_of(metrics.boot())};
  if (wide) {
    std::uint64_t waiting = 0;
    std::uint64_t in_flight = 0;
    for (const v1::QueueMetrics& queue : metrics.queues()) {
      waiting += queue.waiting();
      in_flight += queue.in_flight();
    }
    const bool is_told = metrics.has_monotonic_time();
    row.cells.insert(
        row.cells.end(),
        {number(rates.virtual_processors), is_told ? std::to_string(waiting) : "-",
         is_told ? std::to_string(in_flight) : "-",
         metrics.process_id() != 0 ? std::to_string(metrics.process_id()) : "-",
         metrics.uid().substr(0, kShortUid), metrics.problem().empty() ? "-" : metrics.problem()});
  }
  return row;
}

// With the readings of `before` by uid.
std::vector<DeviceRates> all_rates(const std::vector<v1::DeviceMetrics>& before,
                                   const std::vector<v1::DeviceMetrics>& after) {
  std::map<std::string_view, const v1::DeviceMetrics*> earlier;
  for (const v1::DeviceMetrics& each : before) {
    earlier.emplace(each.uid(), &each);
  }
  std::vector<DeviceRates> rates;
  for (const v1::DeviceMetrics& each : after) {
    const auto found = earlier.find(each.uid());
    rates.push_back(found == earlier.end() ? DeviceRates() : rates_between(*found->second, each));
  }
  return rates;
}

// One line, its cells as wide as their columns, cut off where it is too long.
std::string line_of(const Row& row, const std::vector<std::size_t>& widths,
                    const MetricsTableOptions& options, bool is_header) {
  std::string line;
  std::size_t state_end = 0;
  for (std::size_t column = 0; column < widths.size(); ++column) {
    const bool last = column + 1 == widths.size();
    line += fmt::format("{:<{}}", row.cells[column], last ? 0 : widths[column] + 2);
    if (column == kStateColumn) {
      state_end = line.size();
    }
  }
  while (line.ends_with(' ')) {
    line.pop_back();
  }
  if (options.columns != 0 && line.size() > options.columns) {
    line.resize(options.columns);
  }
  if (options.colours && !is_header && line.size() >= state_end) {
    line.insert(state_end, "\x1b[0m");
    line.insert(widths[0] + 2, state_colour(row.state));
  }
  return line + '\n';
}

}  // namespace

DeviceRates rates_between(const v1::DeviceMetrics& before, const v1::DeviceMetrics& after) {
  DeviceRates rates;
  const std::int64_t elapsed =
      nanoseconds(after.monotonic_time()) - nanoseconds(before.monotonic_time());
  if (!before.has_monotonic_time() || !after.has_monotonic_time() || elapsed <= 0 ||
      before.uid() != after.uid() || before.process_id() != after.process_id()) {
    return rates;
  }
  const auto rate = [elapsed](std::int64_t first, std::int64_t last, double unit) {
    return last < first ? std::nullopt
                        : std::optional(static_cast<double>(last - first) * unit /
                                        static_cast<double>(elapsed));
  };
  constexpr double kPercent = 100;
  constexpr double kPerSecond = 1e9;
  rates.processor =
      rate(nanoseconds(before.processor_time()), nanoseconds(after.processor_time()), kPercent);
  rates.virtual_processors =
      rate(virtual_processor_time(before), virtual_processor_time(after), kPercent);
  rates.exits_per_second = rate(exits_of(before), exits_of(after), kPerSecond);
  rates.requests_per_second = rate(requests_of(before), requests_of(after), kPerSecond);
  return rates;
}

std::string metrics_table(const std::vector<v1::DeviceMetrics>& before,
                          const std::vector<v1::DeviceMetrics>& after,
                          const MetricsTableOptions& options) {
  const std::vector<DeviceRates> rates = all_rates(before, after);
  std::vector<Row> rows;
  for (std::size_t i = 0; i < after.size(); ++i) {
    rows.push_back(row_of(after[i], rates[i], options.wide));
  }
  std::ranges::stable_sort(rows, std::ranges::greater(), &Row::processor);
  rows.insert(rows.begin(), Row{.state = {}, .processor = 0, .cells = header(options.wide)});
  std::vector<std::size_t> widths(rows.front().cells.size());
  for (const Row& row : rows) {
    for (std::size_t column = 0; column < widths.size(); ++column) {
      widths[column] = std::max(widths[column], row.cells[column].size());
    }
  }
  const bool is_cut = options.rows != 0 && rows.size() > options.rows;
  const std::size_t shown = is_cut ? options.rows - 1 : rows.size();
  std::string text;
  for (std::size_t line = 0; line < shown; ++line) {
    text += line_of(rows[line], widths, options, line == 0);
  }
  if (is_cut) {
    text += fmt::format("and {} more", rows.size() - std::max<std::size_t>(shown, 1)) + '\n';
  }
  return text;
}

std::string metrics_summary(const std::vector<v1::DeviceMetrics>& before,
                            const std::vector<v1::DeviceMetrics>& after) {
  const auto running =
      std::ranges::count(after, v1::DEVICE_STATE_RUNNING, &v1::DeviceMetrics::state);
  const std::vector<DeviceRates> rates = all_rates(before, after);
  const double processor = std::accumulate(
      rates.begin(), rates.end(), 0.0,
      [](double sum, const DeviceRates& each) { return sum + each.processor.value_or(0); });
  return fmt::format("{} device{}, {} running, {:.1f}% CPU", after.size(),
                     after.size() == 1 ? "" : "s", running, processor);
}

}  // namespace ensemble::control
