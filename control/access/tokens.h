#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/access/role.h"
#include "control/sha256.h"
#include "vmm/error.h"

namespace ensemble::control {

using WallTime = std::chrono::sys_seconds;

// What is kept of a bearer token. The token itself is known to its owner only: 256 random bits,
// which need no slow digest.
struct Token {
  std::string name;
  Sha256Digest sha256{};
  Role role = Role::kViewer;
  WallTime created;
  // Absent: it never expires.
  std::optional<WallTime> expires;
};

// A new token's text: "ens_" and 64 hexadecimal digits from the host's random source.
Result<std::string> make_token_text();

// The token with this text, expired or not; null: there is none. Takes as long whichever it is.
const Token* find_token(const std::vector<Token>& tokens, std::string_view text);

// "2026-12-24T18:00:00Z", for files and people.
std::string format_time(WallTime time);

// A length of time such as "90m", "12h" or "30d". The Error says what is possible.
Result<std::chrono::seconds> parse_period(std::string_view text);

// The tokens in a YAML file. The Error names the file, and the line, entry and field where there is
// one.
// Refuses a file that other users may write, and one of a user other than this process's and root.
Result<std::vector<Token>> read_tokens(const std::string& path);

// Adds a token to the file, which is made with mode 0600 if it is not there.
Result<void> add_token(const std::string& file, const Token& token);

// Removes the token of that name.
Result<void> remove_token(const std::string& file, const std::string& name);

}  // namespace ensemble::control
