#pragma once

#include <cstdint>

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

}  // namespace chips
