#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "guest-kernel/lib/format.h"

// Numbers as Linux writes them into its files.
namespace chips {

inline void put_integer(guest::TextWriter& text, std::int64_t value) {
  if (value < 0) {
    text.put('-');
  }
  text.decimal(value < 0 ? -static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value));
}

// `value` divided by 10^`digits`, with so many digits behind the point.
inline void put_fraction(guest::TextWriter& text, std::int64_t value, unsigned digits) {
  std::uint64_t scale = 1;
  for (unsigned i = 0; i < digits; ++i) {
    scale *= 10;
  }
  const std::uint64_t size =
      value < 0 ? -static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
  if (value < 0) {
    text.put('-');
  }
  text.decimal(size / scale).put('.');
  for (scale /= 10; scale != 0; scale /= 10) {
    text.put(static_cast<char>('0' + size / scale % 10));
  }
}

// The number that a program writes, times 10^9; digits behind the ninth are cut off. Nothing: it is
// none, or too large.
inline std::optional<std::int64_t> read_billionths(std::string_view text) {
  constexpr std::int64_t kMost = 1'000'000'000;
  const bool is_negative = text.starts_with('-');
  text.remove_prefix(is_negative ? 1 : 0);
  std::int64_t value = 0;
  int places = -1;  // behind the point; -1: it has not come
  bool has_digit = false;
  for (const char c : text) {
    if (c == '.' && places < 0) {
      places = 0;
    } else if (c >= '0' && c <= '9') {
      has_digit = true;
      if (places < 9) {
        value = value * 10 + (c - '0');
        places += places < 0 ? 0 : 1;
      }
      if (places < 0 && value > kMost) {
        return std::nullopt;
      }
    } else {
      return std::nullopt;
    }
  }
  for (places = places < 0 ? 0 : places; places < 9; ++places) {
    value *= 10;
  }
  return has_digit ? std::optional(is_negative ? -value : value) : std::nullopt;
}

}  // namespace chips
