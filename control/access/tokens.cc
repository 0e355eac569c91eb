#include "control/access/tokens.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nettle/memops.h>
#include <sys/random.h>

#include <cerrno>
#include <charconv>

namespace ensemble::control {

Result<std::string> make_token_text() {
  std::array<std::uint8_t, 32> bytes;
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return std::unexpected(Error::from_errno("cannot get random bytes", errno));
  }
  return fmt::format("ens_{:02x}", fmt::join(bytes, ""));
}

const Token* find_token(const std::vector<Token>& tokens, std::string_view text) {
  const Sha256Digest digest = sha256_of(text);
  const Token* found = nullptr;
  for (const Token& token : tokens) {
    if (::memeql_sec(token.sha256.data(), digest.data(), digest.size()) != 0) {
      found = &token;
    }
  }
  return found;
}

std::string format_time(WallTime time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(time.time_since_epoch().count()));
}

Result<std::chrono::seconds> parse_period(std::string_view text) {
  constexpr std::int64_t kMost = 100'000;
  std::int64_t count = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string_view unit(end, text.data() + text.size());
  if (failed == std::errc() && count > 0 && count <= kMost) {
    if (unit == "s") {
      return std::chrono::seconds(count);
    }
    if (unit == "m") {
      return std::chrono::minutes(count);
    }
    if (unit == "h") {
      return std::chrono::hours(count);
    }
    if (unit == "d") {
      return std::chrono::days(count);
    }
  }
  return fail(
      "'{}' is no length of time; write a number from 1 to {} and s, m, h or d, such as 30d", text,
      kMost);
}

}  // namespace ensemble::control
