#pragma once

#include <linux/fcntl.h>

#include <array>
#include <cstdint>
#include <string_view>

#include "guest-kernel/linux/server/path.h"
#include "guest-kernel/linux/server/process.h"

// What the calls on names have in common.
namespace linux_server {

inline constexpr std::uint64_t kCurrentDirectory = static_cast<std::uint32_t>(AT_FDCWD);

// A path, copied from a program.
struct PathText {
  std::array<char, kMaximumPath> buffer;
  std::string_view text;
};

// EFAULT, ENAMETOOLONG.
Result<void> read_path(Task& task, std::uint64_t address, PathText& path);
// The directory that a relative path of an ...at call starts in, or any node that the descriptor
// refers to. EBADF.
Result<Reference<Node>> start_of(Task& task, std::uint64_t directory);
// Follows a path from `directory`, a descriptor or kCurrentDirectory.
Result<void> find_place(Task& task, std::uint64_t directory, std::string_view path, bool follow,
                        Place& place);
// The same with what openat2(2) asks for; `confined`: `directory` is the root, too.
Result<void> find_confined_place(Task& task, std::uint64_t directory, std::string_view path,
                                 const LookUp& how, bool confined, Place& place);
// As find_place(), of a path in the program's memory; the name has to exist.
Result<Reference<Node>> find_node(Task& task, std::uint64_t directory, std::uint64_t address,
                                  bool follow);
// The node of a path, or of the descriptor where the path is empty and `flags` has AT_EMPTY_PATH.
// AT_SYMLINK_NOFOLLOW counts.
Result<Reference<Node>> find_with_flags(Task& task, std::uint64_t directory, std::uint64_t address,
                                        std::uint64_t flags);
// The open file of a descriptor, even one of O_PATH; null: there is none.
Reference<File> any_file_of(Task& task, std::uint64_t descriptor);
// The same, but not one of O_PATH.
Reference<File> file_of(Task& task, std::uint64_t descriptor);
// Whether the process has all of the Permission bits `wanted`.
bool is_allowed(Task& task, const Node& node, std::uint32_t wanted);

// Whether it owns the node or may act as if it did.
bool is_owner(Task& task, const Node& node);

// A regular file that somebody writes to who may not keep them loses S_ISUID and S_ISGID.
void drop_set_ids(Task& task, Node& node);
// A file would become larger than RLIMIT_FSIZE allows: SIGXFSZ, and the errno.
std::int64_t too_large(Task& task);

// A Result's errno, negative, or 0.
template <typename T>
std::int64_t as_error(const Result<T>& result) {
  return result ? 0 : -std::int64_t{result.error().number};
}

}  // namespace linux_server
