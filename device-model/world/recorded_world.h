#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "device-model/world/world.h"
#include "vmm/error.h"

namespace ensemble::device {

// A world played from a recording in CSV. The first line names the columns: "time" (in seconds from
// the machine's start) and any quantities of facts_of(). Each further line is an instant; times
// grow from line to line. Between two instants values change evenly; before the first and after the
// last they stay. Quantities without a column are at rest. Empty lines and those that start with
// '#' are skipped.
class RecordedWorld final : public World {
 public:
  static constexpr std::size_t kMaximumSize = std::size_t{64} << 20;  // Bytes of a file.

  // The Error names the file, the line and the field, and what was expected.
  static Result<std::unique_ptr<RecordedWorld>> load(const std::string& path);
  // The same from `text`, which errors call `name`.
  static Result<std::unique_ptr<RecordedWorld>> parse(std::string_view text,
                                                      const std::string& name);

  double measure(Quantity quantity, std::uint64_t time) const override;

 private:
  struct Line;
  static constexpr std::size_t kNoColumn = static_cast<std::size_t>(-1);

  RecordedWorld() { columns_.fill(kNoColumn); }
  Result<void> read_header(const Line& line);
  Result<void> read_instant(const Line& line);

  std::array<std::size_t, kQuantityCount> columns_;  // Of each quantity; kNoColumn: has none.
  std::size_t time_column_ = kNoColumn;
  std::size_t column_count_ = 0;
  std::vector<double> times_;   // Seconds, growing.
  std::vector<double> values_;  // Of an instant, column_count_ each, one after the other.
};

}  // namespace ensemble::device
