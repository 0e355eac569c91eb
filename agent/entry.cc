#include "agent/entry.h"

#include <unistd.h>

namespace ensemble::agent {

std::string_view last_part(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) {
    path.remove_suffix(1);
  }
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos || path.size() == 1 ? path : path.substr(slash + 1);
}

void append_entry(BodyWriter& body, int directory, const char* path, std::string_view name,
                  const struct stat& status) {
  std::string target;
  if (S_ISLNK(status.st_mode)) {
    target.resize(4096);
    const ssize_t size = ::readlinkat(directory, path, target.data(), target.size());
    target.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  }
  body.text(name)
      .number(static_cast<std::uint32_t>(status.st_mode))
      .number(static_cast<std::uint64_t>(status.st_size))
      .number(static_cast<std::uint32_t>(status.st_uid))
      .number(static_cast<std::uint32_t>(status.st_gid))
      .number(nanoseconds(status.st_mtim))
      .text(target);
}

}  // namespace ensemble::agent
