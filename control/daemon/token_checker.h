#pragma once

#include <sys/types.h>

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "control/access/tokens.h"
#include "vmm/error.h"

namespace ensemble::control {

// The tokens of a file as it is now: changes count from the next call on. Thread-safe.
class TokenChecker {
 public:
  // Reads the file at once; the Error is that of read_tokens().
  static Result<void> check_file(const std::string& path);

  explicit TokenChecker(std::string path) : path_(std::move(path)) {}

  // The role of the token with this text at this time. The Error is a sentence for its owner. While
  // the file is damaged, no token is good.
  Result<Role> role_of(std::string_view text, std::chrono::system_clock::time_point now);

 private:
  // What tells one version of the file from another.
  struct Version {
    ino_t inode = 0;
    off_t size = -1;
    std::int64_t seconds = 0;
    std::int64_t nanoseconds = 0;
    // Of the inode: its mode and owner count too.
    std::int64_t change_seconds = 0;
    std::int64_t change_nanoseconds = 0;
    bool operator==(const Version&) const = default;
  };

  void read_again();

  const std::string path_;
  std::mutex mutex_;
  Version version_;
  bool is_read_ = false;
  std::vector<Token> tokens_;
};

}  // namespace ensemble::control
