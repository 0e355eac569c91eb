#include "guest-kernel/lib/format.h"

#include <algorithm>
#include <array>

namespace guest {

TextWriter& TextWriter::decimal(std::uint64_t value) {
  std::array<char, 20> digits;
  std::size_t at = digits.size();
  do {
    digits[--at] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  return text({digits.data() + at, digits.size() - at});
}

TextWriter& TextWriter::hexadecimal(std::uint64_t value, unsigned width) {
  std::array<char, 16> digits;
  std::size_t at = digits.size();
  do {
    digits[--at] = "0123456789abcdef"[value & 15];
    value >>= 4;
  } while (value != 0 || digits.size() - at < std::min<std::size_t>(width, digits.size()));
  return text({digits.data() + at, digits.size() - at});
}

void copy_text(std::span<char> to, std::string_view text) {
  if (to.empty()) {
    return;
  }
  const std::size_t count = std::min(text.size(), to.size() - 1);
  std::copy_n(text.data(), count, to.data());
  std::fill(to.begin() + static_cast<std::ptrdiff_t>(count), to.end(), '\0');
}

std::string_view text_of(std::span<const char> from) {
  const auto end = std::find(from.begin(), from.end(), '\0');
  return {from.data(), static_cast<std::size_t>(end - from.begin())};
}

}  // namespace guest
