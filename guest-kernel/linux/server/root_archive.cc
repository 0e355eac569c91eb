#include "guest-kernel/linux/server/root_archive.h"

#include <new>

#include "guest-kernel/lib/cpio.h"
#include "guest-kernel/linux/server/growing_array.h"
#include "guest-kernel/linux/server/path.h"

namespace linux_server {
namespace {

struct HardLink {
  std::uint32_t inode;
  std::uint32_t device;
  RootNode* node;
};

std::string_view strip(std::string_view name) {
  for (;;) {
    if (name.starts_with("/")) {
      name.remove_prefix(1);
    } else if (name.starts_with("./")) {
      name.remove_prefix(2);
    } else {
      break;
    }
  }
  while (name.ends_with('/')) {
    name.remove_suffix(1);
  }
  return name == "." ? std::string_view{} : name;
}

// The directory that holds the entry `path`, whose last component becomes `name`. Null: a component
// is no directory or not allowed, or memory ran out.
Node* parent_of(Node& root, std::string_view path, std::string_view& name) {
  Node* directory = &root;
  for (;;) {
    const std::size_t slash = path.find('/');
    const std::string_view component = path.substr(0, slash);
    if (component == "." || component == "..") {
      return nullptr;
    }
    if (slash == std::string_view::npos) {
      name = component;
      return directory;
    }
    path.remove_prefix(slash + 1);
    if (component.empty()) {
      continue;
    }
    Node* next = directory->look_up(component, nullptr);
    if (next == nullptr) {
      next = new (std::nothrow) Directory(component);
      if (next == nullptr) {
        return nullptr;
      }
      directory->add_child(*next);
    }
    if (!next->is_directory()) {
      return nullptr;
    }
    directory = next;
  }
}

Attributes attributes_from(const guest::CpioEntry& entry, std::uint64_t device, const Node& node) {
  Attributes attributes = node.attributes(nullptr);
  attributes.device = device;
  attributes.mode = entry.mode;
  attributes.user = entry.uid;
  attributes.group = entry.gid;
  attributes.modified = entry.modification_time;
  attributes.device_number = entry.special_major << 8 | entry.special_minor;
  return attributes;
}

bool add_directory(Node& parent, std::string_view name) {
  auto* node = new (std::nothrow) Directory(name);
  if (node != nullptr) {
    parent.add_child(*node);
  }
  return node != nullptr;
}

// Gives hard links of one file the same inode, and the contents that only one entry carries.
bool link(RootNode& node, const guest::CpioEntry& entry, GrowingArray<HardLink>& links) {
  const std::uint32_t device = entry.device_major << 16 | entry.device_minor;
  Attributes attributes = node.attributes(nullptr);
  attributes.links = entry.links;
  for (const HardLink& other : links) {
    if (other.inode != entry.inode || other.device != device) {
      continue;
    }
    attributes.inode = other.node->attributes(nullptr).inode;
    if (node.contents().empty()) {
      node.set_data(other.node->contents());
    } else {
      other.node->set_data(node.contents());
    }
  }
  node.set_attributes(attributes);
  return links.push_back({entry.inode, device, &node});
}

// Adds one entry to the tree. Returns what is wrong with it, or null.
const char* add(Node& root, const guest::CpioEntry& entry, std::uint64_t device,
                GrowingArray<HardLink>& links) {
  const std::string_view path = strip(entry.name);
  if (path.empty()) {
    return nullptr;
  }
  std::string_view name;
  Node* directory = parent_of(root, path, name);
  if (directory == nullptr) {
    return "its parent is no directory";
  }
  if (name.size() > kMaximumName) {
    return "its name is longer than 255 bytes";
  }
  const Node* existing = directory->look_up(name, nullptr);
  if ((entry.mode & kTypeMask) == kDirectory) {
    return existing != nullptr || add_directory(*directory, name) ? nullptr : "no memory";
  }
  if (existing != nullptr) {
    // The server's own nodes come first: an archive may bring a /dev of its own.
    return existing->attributes(nullptr).device != device ? nullptr
                                                          : "an earlier entry has its name";
  }
  auto* node = new (std::nothrow) RootNode(name, entry.mode, entry.content);
  if (node == nullptr) {
    return "no memory";
  }
  node->set_attributes(attributes_from(entry, device, *node));
  directory->add_child(*node);
  return entry.links <= 1 || link(*node, entry, links) ? nullptr : "no memory";
}

}  // namespace

RootNode::RootNode(std::string_view name, std::uint32_t mode, std::span<const std::byte> data)
    : Node(name, mode), data_(data) {}

Attributes RootNode::attributes(const Process* viewer) const {
  Attributes attributes = Node::attributes(viewer);
  attributes.size = data_.size();
  return attributes;
}

Result<std::string_view> RootNode::read_link(std::span<char> /*buffer*/,
                                             const Process* /*viewer*/) const {
  if (!is_link()) {
    return fail(EINVAL);
  }
  return std::string_view(reinterpret_cast<const char*>(data_.data()), data_.size());
}

std::expected<void, ArchiveError> read_root_archive(std::span<const std::byte> archive,
                                                    std::string_view prefix, std::uint64_t device,
                                                    Node& root) {
  if (archive.empty()) {
    return {};
  }
  guest::CpioReader reader(archive);
  GrowingArray<HardLink> links;
  while (const auto entry = reader.next()) {
    if (!strip(entry->name).starts_with(prefix)) {
      continue;
    }
    if (const char* reason = add(root, *entry, device, links); reason != nullptr) {
      return std::unexpected(ArchiveError{entry->name, reason});
    }
  }
  if (reader.error() != guest::CpioError::kNone) {
    return std::unexpected(ArchiveError{{}, guest::cpio_error_text(reader.error())});
  }
  return {};
}

}  // namespace linux_server
