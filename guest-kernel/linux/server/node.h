#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "guest-kernel/linux/server/reference.h"
#include "guest-kernel/linux/server/result.h"

namespace linux_server {

class File;
class Process;

// The type bits of Node::mode().
enum NodeType : std::uint32_t {
  kNamedPipe = 0010000,
  kCharacterDevice = 0020000,
  kDirectory = 0040000,
  kBlockDevice = 0060000,
  kRegularFile = 0100000,
  kSymbolicLink = 0120000,
  kSocket = 0140000,
  kTypeMask = 0170000,
};

// st_dev of the root archive's nodes, and of those that the server makes up.
inline constexpr std::uint64_t kRootDevice = 1;
inline constexpr std::uint64_t kVirtualDevice = 5;

// What stat(2) reports of a node.
struct Attributes {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint32_t mode = 0;
  std::uint32_t links = 1;
  std::uint32_t user = 0;
  std::uint32_t group = 0;
  std::uint32_t device_number = 0;  // of a device node: major << 8 | minor
  std::uint64_t size = 0;
  std::int64_t modified = 0;  // seconds since 1970
};

// A file, directory, link or device in the tree of names. Nodes of the root, /dev and /proc live as
// long as the server; those of a process as long as the process.
class Node {
 public:
  Node(std::string_view name, std::uint32_t mode);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  virtual ~Node() = default;

  std::string_view name() const { return name_; }
  Node* parent() const { return parent_; }
  std::uint32_t type() const { return attributes_.mode & kTypeMask; }
  bool is_directory() const { return type() == kDirectory; }
  bool is_link() const { return type() == kSymbolicLink; }
  bool is_executable() const { return (attributes_.mode & 0111) != 0; }

  // `viewer` asks; it may be null where no process does.
  virtual Attributes attributes(const Process* viewer) const;
  // A directory's entry `name`, or null.
  virtual Node* look_up(std::string_view name, Process* viewer);
  // A symbolic link's target, written into `buffer` or elsewhere. EINVAL: no link.
  virtual Result<std::string_view> read_link(std::span<char> buffer, const Process* viewer) const;
  // A new open file. `flags` as open(2)'s.
  virtual Result<Reference<File>> open(std::uint32_t flags, Process& opener);
  // A directory's entry at `index` in order, or null past the last one.
  virtual Node* entry(std::uint64_t index, Process* viewer);
  // The bytes, where they lie in the root archive unchanged for ever; else empty.
  virtual std::span<const std::byte> contents() const { return {}; }

  // Adds `child` as the last entry of this directory. Does not own it.
  void add_child(Node& child);
  // Writes the absolute path of this node so that it ends at the end of `buffer`; empty if it does
  // not fit.
  std::string_view path(std::span<char> buffer) const;

 protected:
  // For nodes that keep their own name.
  void set_name(std::string_view name) { name_ = name; }

  Attributes attributes_;

 private:
  std::string_view name_;
  Node* parent_ = nullptr;
  Node* first_child_ = nullptr;
  Node* last_child_ = nullptr;
  Node* next_sibling_ = nullptr;
  // Where the last entry() stopped, so that listing a directory is not quadratic.
  Node* cursor_ = nullptr;
  std::uint64_t cursor_index_ = 0;
};

// A directory whose entries are its children.
class Directory : public Node {
 public:
  explicit Directory(std::string_view name, std::uint32_t permissions = 0755)
      : Node(name, kDirectory | permissions) {}
};

}  // namespace linux_server
