#include "device-model/world/recorded_world.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <fstream>

namespace ensemble::device {
namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) {
    return {};
  }
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> fields;
  while (true) {
    const std::size_t comma = text.find(',');
    fields.push_back(trim(text.substr(0, comma)));
    if (comma == std::string_view::npos) {
      return fields;
    }
    text.remove_prefix(comma + 1);
  }
}

constexpr std::string_view kTime = "time";

std::string known_columns() {
  std::string names(kTime);
  for (std::size_t i = 0; i < kQuantityCount; ++i) {
    names += fmt::format(", {}", facts_of(static_cast<Quantity>(i)).name);
  }
  return names;
}

}  // namespace

// A line that is neither empty nor a comment.
struct RecordedWorld::Line {
  const std::string& file;
  std::size_t number;
  std::vector<std::string_view> fields;

  std::string place() const { return fmt::format("{}:{}", file, number); }
};

Result<std::unique_ptr<RecordedWorld>> RecordedWorld::load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return std::unexpected(
        Error::from_errno(fmt::format("cannot open the recording '{}'", path), errno));
  }
  std::string text;
  std::array<char, 65536> part;
  while (file && text.size() <= kMaximumSize) {
    file.read(part.data(), part.size());
    text.append(part.data(), static_cast<std::size_t>(file.gcount()));
  }
  if (!file.eof() && text.size() <= kMaximumSize) {
    return fail("cannot read the recording '{}'", path);
  }
  if (text.size() > kMaximumSize) {
    return fail("the recording '{}' has more than {} MiB", path, kMaximumSize >> 20);
  }
  return parse(text, path);
}

Result<std::unique_ptr<RecordedWorld>> RecordedWorld::parse(std::string_view text,
                                                            const std::string& name) {
  std::unique_ptr<RecordedWorld> world(new RecordedWorld());
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const std::string_view content = trim(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (content.empty() || content.front() == '#') {
      continue;
    }
    const Line line{name, number, split(content)};
    auto read = world->column_count_ == 0 ? world->read_header(line) : world->read_instant(line);
    if (!read) {
      return std::unexpected(read.error());
    }
  }
  if (world->times_.empty()) {
    return fail("{}: expected a line of column names and at least one instant", name);
  }
  return world;
}

Result<void> RecordedWorld::read_header(const Line& line) {
  for (std::size_t column = 0; column < line.fields.size(); ++column) {
    const std::string_view field = line.fields[column];
    std::size_t* place = field == kTime ? &time_column_ : nullptr;
    for (std::size_t i = 0; i < kQuantityCount; ++i) {
      if (facts_of(static_cast<Quantity>(i)).name == field) {
        place = &columns_[i];
      }
    }
    if (place == nullptr) {
      return fail("{}: field {}: '{}' is no column of a recording; expected one of: {}",
                  line.place(), column + 1, field, known_columns());
    }
    if (*place != kNoColumn) {
      return fail("{}: field {}: column '{}' is given twice", line.place(), column + 1, field);
    }
    *place = column;
  }
  if (time_column_ == kNoColumn) {
    return fail("{}: expected a column 'time'", line.place());
  }
  column_count_ = line.fields.size();
  return {};
}

Result<void> RecordedWorld::read_instant(const Line& line) {
  if (line.fields.size() != column_count_) {
    return fail("{}: expected {} fields, as the first line has, but found {}", line.place(),
                column_count_, line.fields.size());
  }
  for (std::size_t column = 0; column < line.fields.size(); ++column) {
    const std::string_view field = line.fields[column];
    double value = 0;
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
    if (error != std::errc() || end != field.data() + field.size() || !std::isfinite(value)) {
      return fail("{}: field {}: expected a number, but found '{}'", line.place(), column + 1,
                  field);
    }
    values_.push_back(value);
  }
  const double time = values_[values_.size() - column_count_ + time_column_];
  if (time < 0 || (!times_.empty() && time <= times_.back())) {
    return fail("{}: field {}: expected a time after {} s, but found {} s", line.place(),
                time_column_ + 1, times_.empty() ? 0.0 : times_.back(), time);
  }
  times_.push_back(time);
  return {};
}

double RecordedWorld::measure(Quantity quantity, std::uint64_t time) const {
  const std::size_t column = columns_[static_cast<std::size_t>(quantity)];
  if (column == kNoColumn) {
    return facts_of(quantity).at_rest;
  }
  const auto value = [&](std::size_t instant) { return values_[instant * column_count_ + column]; };
  const double seconds = static_cast<double>(time) / 1e9;
  const auto after =
      static_cast<std::size_t>(std::ranges::upper_bound(times_, seconds) - times_.begin());
  if (after == 0) {
    return value(0);
  }
  if (after == times_.size()) {
    return value(after - 1);
  }
  const double part = (seconds - times_[after - 1]) / (times_[after] - times_[after - 1]);
  return std::lerp(value(after - 1), value(after), part);
}

}  // namespace ensemble::device
