#include "device-model/network_choice.h"

#include <algorithm>
#include <cctype>

namespace ensemble::device {
namespace {

constexpr std::string_view kTapPrefix = "tap:";

// As the kernel takes it, and without what would have to be escaped somewhere.
bool is_interface_name(std::string_view name) {
  constexpr std::size_t kLongest = 15;
  return !name.empty() && name.size() <= kLongest && name != "." && name != ".." &&
         std::ranges::all_of(name, [](unsigned char each) {
           return std::isalnum(each) != 0 || each == '-' || each == '_' || each == '.';
         });
}

}  // namespace

Result<NetworkChoice> parse_network(std::string_view text) {
  using enum NetworkChoice::Kind;
  if (text == "none") {
    return NetworkChoice{};
  }
  if (text == "user") {
    return NetworkChoice{.kind = kUser, .interface = {}};
  }
  if (text.starts_with(kTapPrefix)) {
    const std::string_view name = text.substr(kTapPrefix.size());
    if (is_interface_name(name)) {
      return NetworkChoice{.kind = kTap, .interface = std::string(name)};
    }
    return fail(
        "'{}' is no name of a network interface; expected 1 to 15 letters, digits, hyphens, "
        "underscores and dots",
        name);
  }
  return fail("unknown network '{}'; expected one of: none, user, tap:NAME", text);
}

std::string to_string(const NetworkChoice& choice) {
  switch (choice.kind) {
    case NetworkChoice::Kind::kUser:
      return "user";
    case NetworkChoice::Kind::kTap:
      return std::string(kTapPrefix) + choice.interface;
    case NetworkChoice::Kind::kNone:
      break;
  }
  return "none";
}

}  // namespace ensemble::device
