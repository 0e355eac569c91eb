#include "device-model/quantity.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <ranges>
#include <vector>

namespace ensemble::device {
namespace {

bool is_digit(char character) {
  return character >= '0' && character <= '9';
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') {
    text.remove_prefix(1);
  }
  while (!text.empty() && text.back() == ' ') {
    text.remove_suffix(1);
  }
  return text;
}

std::string unit_names(const Dimension& dimension) {
  std::vector<std::string_view> names;
  for (const Unit& unit : dimension.units) {
    names.push_back(unit.name);
  }
  return fmt::format("{}", fmt::join(names, " or "));
}

std::unexpected<Error> expected_quantity(std::string_view text, const Dimension& dimension) {
  return fail("expected {} in {}, such as '{}', but found '{}'", dimension.what,
              unit_names(dimension), dimension.example, text);
}

// The digits of a decimal number: value = mantissa / 10^decimals.
struct Decimal {
  std::uint64_t mantissa = 0;
  std::uint64_t divisor = 1;
};

// Splits the number off the front of `text`. At most 12 digits before and 6 after the point, so
// that no arithmetic on it can overflow.
std::optional<Decimal> take_decimal(std::string_view& text) {
  Decimal decimal;
  std::size_t position = 0;
  while (position < text.size() && is_digit(text[position])) {
    decimal.mantissa = decimal.mantissa * 10 + static_cast<std::uint64_t>(text[position] - '0');
    ++position;
  }
  if (position == 0 || position > 12) {
    return std::nullopt;
  }
  if (position < text.size() && text[position] == '.') {
    const std::size_t point = position++;
    while (position < text.size() && is_digit(text[position])) {
      decimal.mantissa = decimal.mantissa * 10 + static_cast<std::uint64_t>(text[position] - '0');
      decimal.divisor *= 10;
      ++position;
      if (position - point > 7) {
        return std::nullopt;
      }
    }
    if (position == point + 1) {
      return std::nullopt;
    }
  }
  text.remove_prefix(position);
  return decimal;
}

const Unit* find_unit(std::string_view name, const Dimension& dimension) {
  const auto unit = std::ranges::find(dimension.units, name, &Unit::name);
  return unit == dimension.units.end() ? nullptr : &*unit;
}

std::optional<std::uint64_t> scale_decimal(const Decimal& decimal, const Unit& unit) {
  std::uint64_t product = 0;
  if (__builtin_mul_overflow(decimal.mantissa, unit.scale, &product) ||
      product % decimal.divisor != 0) {
    return std::nullopt;
  }
  return product / decimal.divisor;
}

}  // namespace

Result<std::uint64_t> parse_quantity(std::string_view text, const Dimension& dimension) {
  Result<QuantityRange> range = parse_quantity_range(text, dimension);
  if (!range) {
    return std::unexpected(range.error());
  }
  if (text.find('-') != std::string_view::npos) {
    return expected_quantity(text, dimension);
  }
  return range->low;
}

Result<QuantityRange> parse_quantity_range(std::string_view text, const Dimension& dimension) {
  std::string_view rest = trim(text);
  const std::optional<Decimal> low = take_decimal(rest);
  std::optional<Decimal> high = low;
  rest = trim(rest);
  if (rest.starts_with('-')) {
    rest = trim(rest.substr(1));
    high = take_decimal(rest);
    rest = trim(rest);
  }
  const Unit* unit = find_unit(rest, dimension);
  if (!low || !high || unit == nullptr) {
    return expected_quantity(text, dimension);
  }
  const std::optional<std::uint64_t> low_value = scale_decimal(*low, *unit);
  const std::optional<std::uint64_t> high_value = scale_decimal(*high, *unit);
  if (!low_value || !high_value) {
    return fail("'{}' is too large or too finely divided", text);
  }
  if (*low_value > *high_value) {
    return fail("the range '{}' starts above its end", text);
  }
  return QuantityRange{.low = *low_value, .high = *high_value};
}

std::string format_quantity(std::uint64_t value, const Dimension& dimension) {
  for (const Unit& unit : std::views::reverse(dimension.units)) {
    const bool alias = &unit != dimension.units.data() && unit.scale == dimension.units[0].scale;
    if (value % unit.scale == 0 && !alias && (value != 0 || &unit == dimension.units.data())) {
      return fmt::format("{} {}", value / unit.scale, unit.name);
    }
  }
  const Unit& smallest = dimension.units.front();
  return fmt::format("{} {}", static_cast<double>(value) / static_cast<double>(smallest.scale),
                     smallest.name);
}

Result<std::uint64_t> parse_integer(std::string_view text) {
  const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
  const std::string_view digits = hexadecimal ? text.substr(2) : text;
  std::uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, hexadecimal ? 16 : 10);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return fail("expected a whole number, but found '{}'", text);
  }
  return value;
}

}  // namespace ensemble::device
