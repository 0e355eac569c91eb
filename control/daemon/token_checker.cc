#include "control/daemon/token_checker.h"

#include <spdlog/spdlog.h>
#include <sys/stat.h>

namespace ensemble::control {

Result<void> TokenChecker::check_file(const std::string& path) {
  const auto tokens = read_tokens(path);
  return tokens ? Result<void>() : std::unexpected(tokens.error().with_context("--tokens"));
}

Result<Role> TokenChecker::role_of(std::string_view text,
                                   std::chrono::system_clock::time_point now) {
  const std::lock_guard guard(mutex_);
  read_again();
  const Token* token = find_token(tokens_, text);
  if (token == nullptr) {
    return fail("the bearer token is not one of this daemon's");
  }
  if (token->expires && *token->expires <= std::chrono::floor<std::chrono::seconds>(now)) {
    return fail("the bearer token '{}' has expired at {}", token->name,
                format_time(*token->expires));
  }
  return token->role;
}

void TokenChecker::read_again() {
  struct stat status {};
  Version version;
  if (::stat(path_.c_str(), &status) == 0) {
    version = {.inode = status.st_ino,
               .size = status.st_size,
               .seconds = status.st_mtim.tv_sec,
               .nanoseconds = status.st_mtim.tv_nsec,
               .change_seconds = status.st_ctim.tv_sec,
               .change_nanoseconds = status.st_ctim.tv_nsec};
  }
  if (version == version_ && is_read_) {
    return;
  }
  const bool is_new = version != version_;
  version_ = version;
  auto tokens = read_tokens(path_);
  if (!tokens && is_new) {
    spdlog::error("no token is taken: {}", tokens.error().message());
  }
  // What fails may be there the next time, with the same version.
  is_read_ = tokens.has_value();
  tokens_ = tokens ? std::move(*tokens) : std::vector<Token>();
}

}  // namespace ensemble::control
