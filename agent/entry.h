#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/wire.h"

namespace ensemble::agent {

inline std::int64_t nanoseconds(const timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

// The last name in a path, which may end with '/'.
std::string_view last_part(std::string_view path);

// Adds an entry of kEntry: the file at `path` from `directory` (as of openat(2)), called `name`.
void append_entry(BodyWriter& body, int directory, const char* path, std::string_view name,
                  const struct stat& status);

// The body of kDone.
inline std::string done_body(std::uint64_t size, std::string_view sha256) {
  return BodyWriter().number(size).text(sha256).body();
}

}  // namespace ensemble::agent
