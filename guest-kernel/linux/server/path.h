#pragma once

#include <array>
#include <string_view>

#include "guest-kernel/linux/server/node.h"

namespace linux_server {

inline constexpr std::size_t kMaximumPath = 4096;  // PATH_MAX, with its terminator
inline constexpr std::size_t kMaximumName = 255;   // NAME_MAX
inline constexpr unsigned kMaximumLinks = 40;

// What the last component of a path is.
enum class LastComponent : std::uint8_t { kName, kDot, kDotDot, kRoot };

// Where a path leads: `node` is null where the directory exists and the name does not.
struct Place {
  Reference<Node> directory;  // what holds the last component; for the root, the root
  Reference<Node> node;
  LastComponent last = LastComponent::kRoot;
  bool ends_in_slash = false;
  std::uint8_t name_size = 0;
  std::array<char, kMaximumName> name_buffer;

  std::string_view name() const { return {name_buffer.data(), name_size}; }
};

// How a look-up treats the last component.
struct LookUp {
  bool follow_last = true;  // a link at the end; always followed where a slash comes after it
  // openat2(2)'s: EXDEV or, where links are refused, ELOOP.
  bool stays_beneath = false;  // nothing above the start
  bool stays_on_device = false;
  bool refuses_links = false;
  bool refuses_magic_links = false;  // those of /proc that lead to no name
};

// Follows `path` from `root` or, if it is relative, from `start`; the last component's link too if
// `follow_last` is set or the path ends in a slash. ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EACCES.
Result<Reference<Node>> resolve(Node& root, Node& start, std::string_view path, bool follow_last,
                                Process* viewer);
// As resolve(), but a last component that does not exist is no error.
Result<void> resolve_place(Node& root, Node& start, std::string_view path, const LookUp& how,
                           Process* viewer, Place& place);
// What a process sees as "/".
Node& root_of(const Process& process);
// Whether it may look for names in a directory.
bool may_search(const Process& process, const Node& directory);

}  // namespace linux_server
