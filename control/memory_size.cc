#include "control/memory_size.h"

#include <charconv>
#include <optional>
#include <system_error>

namespace ensemble::control {
namespace {

std::optional<unsigned> unit_shift(std::string_view unit) {
  if (unit.empty() || unit == "M" || unit == "MiB") {
    return 20;
  }
  if (unit == "K" || unit == "KiB") {
    return 10;
  }
  if (unit == "G" || unit == "GiB") {
    return 30;
  }
  return std::nullopt;
}

}  // namespace

Result<std::uint64_t> parse_memory_size(std::string_view text) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  const std::string_view unit(rest, static_cast<std::size_t>(end - rest));
  const std::optional<unsigned> shift = unit_shift(unit);
  if (error == std::errc::result_out_of_range ||
      (error == std::errc() && shift && number > UINT64_MAX >> *shift)) {
    return fail("the memory size '{}' is too large", text);
  }
  if (error != std::errc() || !shift) {
    return fail("'{}' is no memory size; write a whole number with K, M or G, such as 512M or 2G",
                text);
  }
  return number << *shift;
}

}  // namespace ensemble::control
