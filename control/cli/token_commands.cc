#include "control/cli/token_commands.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>

#include "control/access/tokens.h"

namespace ensemble::control {
namespace {

WallTime this_second() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

}  // namespace

Result<void> create_token(const TokenOptions& options) {
  Token token;
  token.name = options.name;
  token.created = this_second();
  const auto role = parse_role(options.role);
  if (!role) {
    return std::unexpected(role.error().with_context("--role"));
  }
  token.role = *role;
  if (options.expires != "never") {
    const auto period = parse_period(options.expires);
    if (!period) {
      return std::unexpected(period.error().with_context("--expires"));
    }
    token.expires = token.created + *period;
  }
  const auto text = make_token_text();
  if (!text) {
    return std::unexpected(text.error());
  }
  token.sha256 = sha256_of(*text);
  if (auto added = add_token(options.file, token); !added) {
    return added;
  }
  fmt::print("{}\n", *text);
  fmt::print(stderr, "'{}' is in '{}', {}; nobody can show it again\n", token.name, options.file,
             token.expires ? "until " + format_time(*token.expires) : "for ever");
  return {};
}

Result<void> list_tokens(const TokenOptions& options) {
  const auto tokens = read_tokens(options.file);
  if (!tokens) {
    return std::unexpected(tokens.error());
  }
  constexpr const char* kRow = "{:<24} {:<9} {:<21} {}\n";
  fmt::print(fmt::runtime(kRow), "NAME", "ROLE", "CREATED", "EXPIRES");
  for (const Token& token : *tokens) {
    const std::string expires = token.expires ? format_time(*token.expires) : "never";
    const bool is_over = token.expires && *token.expires <= this_second();
    fmt::print(fmt::runtime(kRow), token.name, to_string(token.role), format_time(token.created),
               is_over ? expires + " (expired)" : expires);
  }
  return {};
}

Result<void> revoke_token(const TokenOptions& options) {
  return remove_token(options.file, options.name);
}

}  // namespace ensemble::control
