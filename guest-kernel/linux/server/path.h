#pragma once

#include <string_view>

#include "guest-kernel/linux/server/node.h"

namespace linux_server {

inline constexpr std::size_t kMaximumPath = 4096;  // PATH_MAX, with its terminator
inline constexpr std::size_t kMaximumName = 255;   // NAME_MAX
inline constexpr unsigned kMaximumLinks = 40;

// A name's place: `node` is null where the directory exists and the name does not.
struct Place {
  Node* directory = nullptr;
  Node* node = nullptr;
};

// Follows `path` from `root` or, if it is relative, from `start`; the last component's link too if
// `follow_last` is set or the path ends in a slash. ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG.
Result<Node*> resolve(Node& root, Node& start, std::string_view path, bool follow_last,
                      Process* viewer);
// As resolve(), but a last component that does not exist is no error.
Result<Place> resolve_place(Node& root, Node& start, std::string_view path, bool follow_last,
                            Process* viewer);

}  // namespace linux_server
