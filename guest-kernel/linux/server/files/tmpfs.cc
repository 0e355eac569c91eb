#include "guest-kernel/linux/server/files/tmpfs.h"

#include <asm/fcntl.h>
#include <linux/magic.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <utility>

#include "guest-kernel/linux/server/files/device_files.h"
#include "guest-kernel/linux/server/mounts.h"
#include "guest-kernel/linux/server/path.h"

namespace linux_server {
namespace {

constexpr std::uint64_t kMaximumTarget = kMaximumPath - 1;

void initialize(StoredAttributes& attributes, const NewNode& what, std::uint32_t device) {
  attributes.user = what.user;
  attributes.group = what.group;
  attributes.device_number = what.device_number;
  attributes.device = device;
  attributes.accessed = attributes.modified = attributes.changed = attributes.created = file_time();
}

void apply(StoredAttributes& attributes, const AttributeChange& change) {
  if (change.permissions) {
    attributes.mode = (attributes.mode & kTypeMask) | (*change.permissions & kPermissionMask);
  }
  attributes.user = change.user.value_or(attributes.user);
  attributes.group = change.group.value_or(attributes.group);
  attributes.accessed = change.accessed.value_or(attributes.accessed);
  attributes.modified = change.modified.value_or(attributes.modified);
  attributes.changed = file_time();
}

}  // namespace

Node* make_special(Name name, const NewNode& what, std::uint32_t device) {
  const Name target = Name::copy(what.target);
  const std::uint64_t cost = TmpfsSpecial::cost_of(target);
  if (target.is_null() || !take_file_memory(cost)) {
    return nullptr;
  }
  auto* made = new (std::nothrow) TmpfsSpecial(std::move(name), what, target, device);
  if (made == nullptr) {
    give_back_file_memory(cost);
  }
  return made;
}

namespace {

Node* make_node(Name name, const NewNode& what, std::uint32_t device) {
  if (InodeShare::is_used_up()) {
    return nullptr;
  }
  switch (what.mode & kTypeMask) {
    case kRegularFile:
      return new (std::nothrow) TmpfsFile(std::move(name), what, device);
    case kDirectory:
      return new (std::nothrow) TmpfsDirectory(std::move(name), what, device);
    default:
      return make_special(std::move(name), what, device);
  }
}

}  // namespace

std::uint64_t InodeShare::limit() {
  return file_memory_limit();
}

TmpfsDirectory::TmpfsDirectory(Name name, const NewNode& what, std::uint32_t device)
    : Directory(std::move(name), what.mode & kPermissionMask), inode_(!what.on_disk) {
  initialize(attributes_, what, device);
}

Node* TmpfsDirectory::make_child(Name name, const NewNode& what) {
  return make_node(std::move(name), what, device());
}

void TmpfsDirectory::set_modified() {
  attributes_.modified = attributes_.changed = file_time();
}

Reference<Node> TmpfsDirectory::look_up(std::string_view name, Process* /*viewer*/) {
  Node* found = entries_.find(name);
  if (found != nullptr && !found->is_directory() &&
      (found->parent() != this || found->name() != name)) {
    // A hard link: it is known by the name that was asked for.
    if (Name copy = Name::copy(name); !copy.is_null()) {
      found->set_place(std::move(copy), this);
    }
  }
  return Reference<Node>(found);
}

Result<Reference<Node>> TmpfsDirectory::create(std::string_view name, const NewNode& what) {
  if (what.target.size() > kMaximumTarget) {
    return fail(ENAMETOOLONG);
  }
  if (is_removed()) {
    return fail(ENOENT);
  }
  Name copy = Name::copy(name);
  if (copy.is_null()) {
    return fail(ENOSPC);
  }
  const Reference<Node> node(make_child(copy, what));
  if (!node || !add_child(node.get())) {
    return fail(ENOSPC);
  }
  set_modified();
  return node;
}

Result<Reference<Node>> TmpfsDirectory::create_unnamed(const NewNode& what) {
  const std::uint64_t number = next_inode();
  char digits[24];
  char* start = digits + sizeof(digits);
  for (std::uint64_t rest = number; rest != 0; rest /= 10) {
    *--start = static_cast<char>('0' + rest % 10);
  }
  *--start = '#';
  Name name = Name::copy({start, static_cast<std::size_t>(digits + sizeof(digits) - start)});
  auto* file = name.is_null() || InodeShare::is_used_up()
                   ? nullptr
                   : new (std::nothrow) TmpfsFile(std::move(name), what, device());
  const Reference<Node> node(file);
  if (!node) {
    return fail(ENOSPC);
  }
  node->set_place(node->shared_name(), this);
  file->forget_links();
  return node;
}

Result<void> TmpfsDirectory::link(std::string_view name, Node& child) {
  constexpr std::uint32_t kMaximumLinkCount = 0x7fff'ffff;
  StoredAttributes& attributes = child.attributes_;
  if (is_removed()) {
    return fail(ENOENT);
  }
  if (attributes.links >= kMaximumLinkCount) {
    return fail(EMLINK);
  }
  Name copy = Name::copy(name);
  // The first name of a file that had none is counted with the file.
  const bool counts = inode_.counts() && attributes.links != 0;
  if ((counts && InodeShare::is_used_up()) || copy.is_null() || !entries_.insert(copy, child)) {
    return fail(ENOSPC);
  }
  if (counts) {
    InodeShare::add_link();
  }
  child.set_place(std::move(copy), this);
  ++attributes.links;
  attributes.changed = file_time();
  set_modified();
  return {};
}

// A directory has no link left; other nodes have one less.
void TmpfsDirectory::drop_link(Node& child) const {
  StoredAttributes& attributes = child.attributes_;
  attributes.links = child.is_directory() ? 0 : attributes.links - 1;
  if (attributes.links != 0 && inode_.counts()) {
    InodeShare::drop_link();
  }
  attributes.changed = file_time();
}

Result<void> TmpfsDirectory::remove(std::string_view name, Node& child) {
  const Reference<Node> share(&child);
  if (child.is_directory()) {
    if (!child.is_empty()) {
      return fail(ENOTEMPTY);
    }
    --attributes_.links;
  }
  entries_.erase(name);
  drop_link(child);
  set_modified();
  return {};
}

Result<void> TmpfsDirectory::rename(std::string_view name, Node& child, Node& to,
                                    std::string_view new_name, Node* existing, bool exchange) {
  auto& target = static_cast<TmpfsDirectory&>(to);
  if (target.is_removed()) {
    return fail(ENOENT);
  }
  if (existing != nullptr && !exchange && existing->is_directory() && !existing->is_empty()) {
    return fail(ENOTEMPTY);
  }
  Name copy = Name::copy(new_name);
  if (copy.is_null() || (existing == nullptr && !target.entries_.reserve())) {
    return fail(ENOSPC);
  }
  const Reference<Node> moved(&child);
  const Reference<Node> other(existing);
  // A directory counts as a link of the one that it is in.
  attributes_.links -= child.is_directory() ? 1 : 0;
  target.attributes_.links += child.is_directory() ? 1 : 0;
  if (existing != nullptr && existing->is_directory()) {
    --target.attributes_.links;
    attributes_.links += exchange ? 1 : 0;
  }
  rename_within_tables(name, child, target, copy, existing, exchange);
  child.attributes_.changed = file_time();
  set_modified();
  target.set_modified();
  return {};
}

void TmpfsDirectory::rename_within_tables(std::string_view name, Node& child,
                                          TmpfsDirectory& target, const Name& new_name,
                                          Node* existing, bool exchange) {
  if (exchange) {
    const Name old_name = child.shared_name();
    entries_.replace(name, *existing);
    target.entries_.replace(new_name.view(), child);
    existing->set_place(old_name, this);
    existing->attributes_.changed = file_time();
  } else if (existing != nullptr) {
    target.entries_.replace(new_name.view(), child);
    entries_.erase(name);
    drop_link(*existing);
  } else {
    static_cast<void>(target.entries_.insert(new_name, child));  // there is room for it
    entries_.erase(name);
  }
  child.set_place(new_name, &target);
}

Result<void> TmpfsDirectory::change(const AttributeChange& change) {
  apply(attributes_, change);
  return {};
}

TmpfsSpecial::TmpfsSpecial(Name name, const NewNode& what, Name target, std::uint32_t device)
    : Node(std::move(name), what.mode), target_(std::move(target)), inode_(!what.on_disk) {
  initialize(attributes_, what, device);
}

TmpfsSpecial::~TmpfsSpecial() {
  give_back_file_memory(cost_of(target_));
}

std::uint64_t TmpfsSpecial::cost_of(const Name& target) {
  constexpr std::size_t kFree = 128;  // as long as many a name
  const std::size_t size = target.view().size();
  return size <= kFree ? 0 : std::bit_ceil(size);
}

Result<std::string_view> TmpfsSpecial::read_link(std::span<char> /*buffer*/,
                                                 const Process* /*viewer*/) const {
  return is_link() ? Result<std::string_view>(target_.view()) : fail(EINVAL);
}

Result<Reference<File>> TmpfsSpecial::open(std::uint32_t flags, Process& opener) {
  return open_special(*this, flags, opener);
}

Result<void> TmpfsSpecial::change(const AttributeChange& change) {
  apply(attributes_, change);
  return {};
}

Result<void> TmpfsFile::change(const AttributeChange& change) {
  apply(attributes_, change);
  return {};
}

TmpfsDirectory* mount_tmpfs(Node& root, std::string_view path, std::string_view type,
                            std::uint32_t permissions) {
  Reference<Node> directory(&root);
  for (;;) {
    path.remove_prefix(1);
    const std::size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    Directory* table = directory->table();
    if (table == nullptr) {
      return nullptr;
    }
    if (slash == std::string_view::npos) {
      NewNode what;
      what.mode = kDirectory | permissions;
      auto* made = new (std::nothrow) TmpfsDirectory(Name(name), what, next_device());
      if (!table->put_child(made) || !add_mount(*made, type, type, TMPFS_MAGIC, false)) {
        return nullptr;
      }
      return made;
    }
    Reference<Node> next = directory->look_up(name, nullptr);
    if (!next) {
      auto* made = new (std::nothrow) Directory(name);
      next = made;
      if (!table->add_child(made)) {
        return nullptr;
      }
      StoredAttributes attributes = made->attributes(nullptr);
      attributes.device = directory->device();
      made->set_attributes(attributes);
    }
    directory = next;
    path.remove_prefix(slash);
  }
}

Reference<Node> make_tmpfs(const NewNode& what) {
  return Reference<Node>(new (std::nothrow) TmpfsDirectory(Name("/"), what, next_device()));
}

// One entry after the other, so that the depth of the tree does not matter: a directory that has
// entries is entered, an empty one is left and dropped.
void clear_tmpfs(Node& directory) {
  Reference<Node> current(&directory);
  std::uint64_t position = 0;  // everything before it has gone
  for (;;) {
    DirectoryItem item;
    if (current->next_entry(position, nullptr, item)) {
      const Reference<Node> child = current->look_up(item.name, nullptr);
      if (child->is_directory() && !child->is_empty()) {
        current = child;
        position = 0;
      } else {
        position = item.position;
        static_cast<void>(current->remove(item.name, *child));
      }
      continue;
    }
    if (current.get() == &directory) {
      return;
    }
    current = current->parent();
    position = 0;
  }
}

}  // namespace linux_server
