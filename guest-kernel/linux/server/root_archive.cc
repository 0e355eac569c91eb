#include "guest-kernel/linux/server/root_archive.h"

#include <algorithm>
#include <new>

#include "guest-kernel/lib/cpio.h"
#include "guest-kernel/linux/server/directory.h"
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

constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;

Directory* add_directory(Directory& parent, std::string_view name, std::uint32_t device) {
  auto* made = new (std::nothrow) Directory(name);
  if (made == nullptr || !parent.add_child(made)) {
    return nullptr;
  }
  StoredAttributes attributes = made->attributes(nullptr);
  attributes.device = device;
  made->set_attributes(attributes);
  return made;
}

constexpr unsigned kLinkLimit = 40;

// The directory that `link`, an entry of `directory`, leads to; null where none is, or a loop.
Directory* follow(Directory& root, Directory& directory, const Node& link, unsigned depth) {
  const auto target = link.read_link({}, nullptr);
  if (!target || depth == kLinkLimit) {
    return nullptr;
  }
  std::string_view path = *target;
  Directory* at = path.starts_with('/') ? &root : &directory;
  while (at != nullptr && !path.empty()) {
    const std::string_view component = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(component.size() + 1, path.size()));
    if (component.empty() || component == ".") {
      continue;
    }
    if (component == "..") {
      at = at->parent() != nullptr ? at->parent()->table() : &root;
      continue;
    }
    const Reference<Node> next = at->look_up(component, nullptr);
    if (!next) {
      return nullptr;
    }
    at = next->is_link() ? follow(root, *at, *next, depth + 1) : next->table();
  }
  return at;
}

// The directory that holds the entry `path`, whose last component becomes `name`. Links on the way
// are followed. Null: a component is no directory or not allowed, or memory ran out.
Directory* parent_of(Directory& root, std::string_view path, std::uint32_t device,
                     std::string_view& name) {
  Directory* directory = &root;
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
    const Reference<Node> next = directory->look_up(component, nullptr);
    if (!next) {
      directory = add_directory(*directory, component, device);
    } else if (next->is_link()) {
      directory = follow(root, *directory, *next, 0);
    } else {
      directory = next->table();
    }
    if (directory == nullptr) {
      return nullptr;
    }
  }
}

// What the archive says of an entry, on top of what its node has.
StoredAttributes attributes_from(const guest::CpioEntry& entry, std::uint32_t device,
                                 const Node& node) {
  StoredAttributes attributes = node.attributes(nullptr);
  attributes.device = device;
  attributes.mode = entry.mode;
  attributes.user = entry.uid;
  attributes.group = entry.gid;
  attributes.accessed = attributes.modified = attributes.changed = attributes.created =
      std::int64_t{entry.modification_time} * kNanosecondsPerSecond;
  attributes.device_number = entry.special_major << 8 | entry.special_minor;
  return attributes;
}

// Gives hard links of one file the same inode, and the contents that only one entry carries.
bool link(RootNode& node, const guest::CpioEntry& entry, GrowingArray<HardLink>& links) {
  const std::uint32_t device = entry.device_major << 16 | entry.device_minor;
  StoredAttributes attributes = node.attributes(nullptr);
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

const char* add_directory_entry(Directory& parent, std::string_view name,
                                const guest::CpioEntry& entry, std::uint32_t device,
                                Node* existing) {
  Directory* directory =
      existing != nullptr ? existing->table() : add_directory(parent, name, device);
  if (directory == nullptr) {
    return existing != nullptr ? "an earlier entry has its name" : "no memory";
  }
  if (directory->device() == device) {
    directory->set_attributes(attributes_from(entry, device, *directory));
  }
  return nullptr;
}

// Adds one entry to the tree. Returns what is wrong with it, or null.
const char* add(Directory& root, const guest::CpioEntry& entry, std::uint32_t device,
                GrowingArray<HardLink>& links) {
  const std::string_view path = strip(entry.name);
  if (path.empty()) {
    return nullptr;
  }
  std::string_view name;
  Directory* directory = parent_of(root, path, device, name);
  if (directory == nullptr) {
    return "its parent is no directory";
  }
  if (name.size() > kMaximumName) {
    return "its name is longer than 255 bytes";
  }
  const Reference<Node> existing = directory->look_up(name, nullptr);
  if ((entry.mode & kTypeMask) == kDirectory) {
    return add_directory_entry(*directory, name, entry, device, existing.get());
  }
  if (existing) {
    // The server's own nodes come first: an archive may bring a /dev of its own.
    return existing->device() != device ? nullptr : "an earlier entry has its name";
  }
  auto* node = new (std::nothrow) RootNode(name, entry.mode, entry.content);
  if (node == nullptr || !directory->add_child(node)) {
    return "no memory";
  }
  node->set_attributes(attributes_from(entry, device, *node));
  return entry.links <= 1 || link(*node, entry, links) ? nullptr : "no memory";
}

}  // namespace

RootNode::RootNode(std::string_view name, std::uint32_t mode, std::span<const std::byte> data)
    : Node(name, mode), data_(data) {}

Attributes RootNode::attributes(const Process* viewer) const {
  constexpr std::uint64_t kSector = 512;
  Attributes attributes = Node::attributes(viewer);
  attributes.allocated =
      type() == kRegularFile ? (attributes.size + kSector - 1) & ~(kSector - 1) : 0;
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
                                                    std::string_view prefix, std::uint32_t device,
                                                    Directory& root) {
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
