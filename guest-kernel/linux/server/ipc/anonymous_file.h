#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "guest-kernel/linux/server/file.h"

namespace linux_server {

// What an open file without a place in the tree of names is a descriptor of: fstat(2) and
// /proc/self/fd ask. Its name is "pipe:[7]", "anon_inode:[eventfd]" or the like.
class AnonymousNode : public Node, public Charged<open_files_share> {
 public:
  // `numbered`: the inode's number follows `prefix` in brackets.
  AnonymousNode(std::string_view prefix, std::uint32_t mode, bool numbered);

 private:
  std::array<char, 40> text_;
};

// Null: no memory.
Reference<AnonymousNode> make_pipe_node();
Reference<AnonymousNode> make_socket_node();
// `name`: "[eventfd]".
Reference<AnonymousNode> make_event_node(std::string_view name);

// Base of files that are no node's. They cannot be positioned.
class AnonymousFile : public File {
 public:
  AnonymousFile(Reference<AnonymousNode> node, std::uint32_t flags)
      : File(*node, flags), anonymous_node_(std::move(node)) {}
  bool is_seekable() const override { return false; }

 private:
  Reference<AnonymousNode> anonymous_node_;
};

}  // namespace linux_server
