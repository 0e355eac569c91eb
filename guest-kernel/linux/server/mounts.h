#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "guest-kernel/linux/server/node.h"

namespace linux_server {

// A file system in the tree of names. Its root node stands where the directory was that it covers.
struct Mount {
  std::uint32_t id = 0;
  std::uint32_t parent = 0;  // id
  std::uint32_t device = 0;
  std::uint32_t magic = 0;  // statfs's f_type
  std::string_view type;
  std::string_view source;
  bool read_only = false;
  bool expires = false;  // umount2(2) was asked with MNT_EXPIRE once
  Node* root = nullptr;
  // The directory that mount(2) has put it over; null: it was there from the start, for ever.
  Node* covered = nullptr;
};

// All, in the order in which they were mounted.
std::span<const Mount> mounts();
// The one that a node of `device` is in; null: a node without a place.
const Mount* mount_of(std::uint32_t device);
inline const Mount* mount_of(const Node& node) {
  return mount_of(node.device());
}
bool is_read_only(const Node& node);
bool is_mount_root(const Node& node);
// The file system of `device` turns out to be one that cannot be written.
void set_read_only(std::uint32_t device);
// A number for the next file system.
std::uint32_t next_device();
// Notes a file system whose root is in its place already, or is the root of all. False: too many.
bool add_mount(Node& root, std::string_view type, std::string_view source, std::uint32_t magic,
               bool read_only);
// Puts a new file system with this root over a directory. EBUSY: too many.
Result<void> add_mount_over(Node& covered, Node& root, std::string_view type,
                            std::string_view source, std::uint32_t magic, bool read_only);
// The mount with that root; null: it is none's.
Mount* find_mount(const Node& root);
// Takes away what mount(2) has put somewhere. Whoever still has its files keeps them.
void remove_mount(Mount& mount);
// The root of what has been put over a directory, last; null: nothing.
Node* mounted_over(const Node& directory);

}  // namespace linux_server
