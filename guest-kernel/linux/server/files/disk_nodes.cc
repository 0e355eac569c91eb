#include "guest-kernel/linux/server/files/disk_nodes.h"

#include <asm/fcntl.h>
#include <linux/magic.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "guest-kernel/linux/server/files/disk_attributes.h"
#include "guest-kernel/linux/server/files/disk_file_system.h"
#include "guest-kernel/linux/server/mounts.h"

namespace linux_server {

using ext4::InodeRecord;
using ext4::Request;
using Words = DiskFileSystem::Words;

void take_record(StoredAttributes& attributes, const InodeRecord& record) {
  attributes.inode = record.inode;
  attributes.mode = record.mode;
  attributes.links = record.links;
  attributes.user = record.user;
  attributes.group = record.group;
  attributes.device_number = record.device_number;
  attributes.accessed = record.accessed;
  attributes.modified = record.modified;
  attributes.changed = record.changed;
  attributes.created = record.created;
}

Result<void> change_inode(const StoredAttributes& attributes, const AttributeChange& change) {
  InodeRecord record{};
  record.mode = change.permissions.value_or(attributes.mode) & kPermissionMask;
  record.user = change.user.value_or(attributes.user);
  record.group = change.group.value_or(attributes.group);
  record.accessed = change.accessed.value_or(attributes.accessed);
  record.modified = change.modified.value_or(attributes.modified);
  record.changed = file_time();
  DiskFileSystem& disk = disk_file_system();
  if (!disk.is_mounted()) {
    return fail(EIO);
  }
  disk.put_record(record);
  Words words = {attributes.inode};
  const int failed = disk.change(Request::kSetAttributes, words);
  return failed != 0 ? fail(failed) : Result<void>();
}

void release_inode(const Node& node) {
  DiskFileSystem& disk = disk_file_system();
  if (node.is_removed() && disk.is_mounted()) {
    Words words = {node.inode()};
    static_cast<void>(disk.change(Request::kRelease, words));
  }
}

namespace {

NewNode new_node(const InodeRecord& record) {
  NewNode what;
  what.mode = record.mode;
  what.user = record.user;
  what.group = record.group;
  what.device_number = record.device_number;
  what.on_disk = true;
  return what;
}

Result<void> as_change(int failed) {
  return failed != 0 ? fail(failed) : Result<void>();
}

}  // namespace

DiskSpecial::DiskSpecial(Name name, const InodeRecord& record, std::uint32_t device)
    : TmpfsSpecial(std::move(name), new_node(record), Name(), device), size_(record.size) {
  take_record(attributes_, record);
}

DiskSpecial::~DiskSpecial() {
  release_inode(*this);
}

Result<std::string_view> DiskSpecial::read_link(std::span<char> buffer,
                                                const Process* /*viewer*/) const {
  if (!is_link()) {
    return fail(EINVAL);
  }
  DiskFileSystem& disk = disk_file_system();
  Words words = {inode()};
  if (const int failed = disk.call(Request::kReadLink, words)) {
    return fail(failed);
  }
  const std::uint64_t size = words[0];
  if (size == 0 || size > buffer.size() || size > disk.data().size()) {
    return fail(EIO);
  }
  std::memcpy(buffer.data(), disk.data().data(), size);
  return std::string_view(buffer.data(), size);
}

Result<void> DiskSpecial::change(const AttributeChange& change) {
  const auto changed = change_inode(attributes_, change);
  return changed ? TmpfsSpecial::change(change) : changed;
}

DiskDirectory::DiskDirectory(Name name, const InodeRecord& record, std::uint32_t device)
    : TmpfsDirectory(std::move(name), new_node(record), device) {
  take_record(attributes_, record);
}

DiskDirectory::~DiskDirectory() {
  release_inode(*this);
}

int DiskDirectory::load() {
  if (!loaded_) {
    loaded_ = true;
    error_ = load_entries();
  }
  return error_;
}

int DiskDirectory::load_entries() {
  DiskFileSystem& disk = disk_file_system();
  if (const int failed = disk.mount()) {
    return failed;
  }
  if (inode() == ext4::kRootInode) {
    Words words = {inode()};
    if (const int failed = disk.call(Request::kGet, words)) {
      return failed;
    }
    const auto record = disk.record<InodeRecord>();
    if ((record.mode & kTypeMask) != kDirectory) {
      return EIO;
    }
    take_record(attributes_, record);
  }
  std::uint64_t position = 0;
  for (;;) {
    Words words = {inode(), position};
    if (const int failed = disk.call(Request::kList, words)) {
      return failed;
    }
    const std::uint64_t size = std::min<std::uint64_t>(words[0], disk.data().size());
    if (size == 0) {
      return 0;
    }
    position = words[1];
    for (std::uint64_t at = 0; at + sizeof(ext4::DirectoryRecord) <= size;) {
      ext4::DirectoryRecord record;
      std::memcpy(&record, disk.data().data() + at, sizeof(record));
      at += sizeof(record);
      if (record.name_size == 0 || record.name_size > 255 || record.name_size > size - at) {
        return EIO;
      }
      const std::string_view name(reinterpret_cast<const char*>(disk.data().data() + at),
                                  record.name_size);
      if (!add_entry(name, record.inode)) {
        return ENOMEM;
      }
      at = (at + record.name_size + 7) & ~std::uint64_t{7};
    }
  }
}

// The file that another name led to already.
Node* find_linked_file(const InodeRecord& record) {
  DiskFile* file = record.links > 1 ? disk_file_system().first_file : nullptr;
  while (file != nullptr && file->inode() != record.inode) {
    file = file->next_file;
  }
  return file;
}

bool DiskDirectory::add_entry(std::string_view name, const InodeRecord& record) {
  Name copy = Name::copy(name);
  if (copy.is_null() || entries_.find(name) != nullptr) {
    return !copy.is_null();  // a damaged directory may have a name twice
  }
  made_ = record;
  Reference<Node> node(find_linked_file(record));
  if (!node) {
    node = Reference<Node>(make_child(copy, new_node(record)));
  }
  if (!node || !entries_.insert(copy, *node)) {
    return false;
  }
  node->set_place(std::move(copy), this);
  return true;
}

Node* DiskDirectory::make_child(Name name, const NewNode& /*what*/) {
  switch (made_.mode & kTypeMask) {
    case kRegularFile:
      return new (std::nothrow) DiskFile(std::move(name), made_, device());
    case kDirectory:
      return new (std::nothrow) DiskDirectory(std::move(name), made_, device());
    default:
      return new (std::nothrow) DiskSpecial(std::move(name), made_, device());
  }
}

Attributes DiskDirectory::attributes(const Process* viewer) const {
  if (inode() == ext4::kRootInode) {
    static_cast<void>(const_cast<DiskDirectory*>(this)->load());
  }
  return TmpfsDirectory::attributes(viewer);
}

Reference<Node> DiskDirectory::look_up(std::string_view name, Process* viewer) {
  static_cast<void>(load());
  return TmpfsDirectory::look_up(name, viewer);
}

bool DiskDirectory::next_entry(std::uint64_t position, Process* viewer, DirectoryItem& item) {
  static_cast<void>(load());
  return TmpfsDirectory::next_entry(position, viewer, item);
}

bool DiskDirectory::is_empty() const {
  return const_cast<DiskDirectory*>(this)->load() == 0 && TmpfsDirectory::is_empty();
}

Result<InodeRecord> DiskDirectory::make_inode(std::string_view name, const NewNode& what) const {
  DiskFileSystem& disk = disk_file_system();
  InodeRecord record{};
  record.mode = what.mode;
  record.user = what.user;
  record.group = what.group;
  record.device_number = what.device_number;
  if (!disk.put_name(name) || what.target.size() > disk.data().size() - sizeof(record)) {
    return fail(ENAMETOOLONG);
  }
  disk.put_record(record);
  std::memcpy(disk.data().data() + sizeof(record), what.target.data(), what.target.size());
  Words words = {inode(), name.size(), what.target.size()};
  if (const int failed = disk.change(Request::kCreate, words)) {
    return fail(failed);
  }
  record.inode = static_cast<std::uint32_t>(words[0]);
  record.links = name.empty() ? 0 : (what.mode & kTypeMask) == kDirectory ? 2 : 1;
  record.size = what.target.size();
  record.accessed = record.modified = record.changed = record.created = file_time();
  return record;
}

Result<Reference<Node>> DiskDirectory::create(std::string_view name, const NewNode& what) {
  if (const int failed = load()) {
    return fail(failed);
  }
  if (is_removed()) {
    return fail(ENOENT);
  }
  const auto record = make_inode(name, what);
  if (!record) {
    return std::unexpected(record.error());
  }
  made_ = *record;
  auto made = TmpfsDirectory::create(name, what);
  if (!made) {
    // There was no memory for it here.
    DiskFileSystem& disk = disk_file_system();
    static_cast<void>(disk.put_name(name));
    Words words = {inode(), name.size(), record->inode};
    static_cast<void>(disk.change(Request::kRemove, words));
  } else if (DiskDirectory* directory = (what.mode & kTypeMask) == kDirectory
                                            ? static_cast<DiskDirectory*>(made->get())
                                            : nullptr) {
    directory->loaded_ = true;
  }
  return made;
}

Result<Reference<Node>> DiskDirectory::create_unnamed(const NewNode& what) {
  if (const int failed = load()) {
    return fail(failed);
  }
  const auto record = make_inode({}, what);
  if (!record) {
    return std::unexpected(record.error());
  }
  char digits[24];
  char* start = digits + sizeof(digits);
  for (std::uint64_t rest = record->inode; rest != 0; rest /= 10) {
    *--start = static_cast<char>('0' + rest % 10);
  }
  *--start = '#';
  Name name = Name::copy({start, static_cast<std::size_t>(digits + sizeof(digits) - start)});
  Reference<Node> node(name.is_null() ? nullptr
                                      : new (std::nothrow) DiskFile(name, *record, device()));
  if (!node) {
    return fail(ENOSPC);
  }
  node->set_place(std::move(name), this);
  return node;
}

Result<void> DiskDirectory::link(std::string_view name, Node& child) {
  DiskFileSystem& disk = disk_file_system();
  if (const int failed = load()) {
    return fail(failed);
  }
  if (is_removed()) {
    return fail(ENOENT);
  }
  if (!disk.put_name(name)) {
    return fail(ENAMETOOLONG);
  }
  Words words = {inode(), name.size(), child.inode()};
  const auto linked = as_change(disk.change(Request::kLink, words));
  return linked ? TmpfsDirectory::link(name, child) : linked;
}

Result<void> DiskDirectory::remove(std::string_view name, Node& child) {
  DiskFileSystem& disk = disk_file_system();
  if (const int failed = load()) {
    return fail(failed);
  }
  if (child.is_directory() && !child.is_empty()) {
    return fail(ENOTEMPTY);
  }
  if (!disk.put_name(name)) {
    return fail(ENAMETOOLONG);
  }
  Words words = {inode(), name.size(), child.inode()};
  const auto removed = as_change(disk.change(Request::kRemove, words));
  return removed ? TmpfsDirectory::remove(name, child) : removed;
}

Result<void> DiskDirectory::rename(std::string_view name, Node& child, Node& to,
                                   std::string_view new_name, Node* existing, bool exchange) {
  DiskFileSystem& disk = disk_file_system();
  auto& target = static_cast<DiskDirectory&>(to);
  if (const int failed = load() != 0 ? load() : target.load()) {
    return fail(failed);
  }
  if (target.is_removed()) {
    return fail(ENOENT);
  }
  if (existing != nullptr && !exchange && existing->is_directory() && !existing->is_empty()) {
    return fail(ENOTEMPTY);
  }
  if (!disk.put_name(name) || !disk.put_name(new_name, name.size())) {
    return fail(ENAMETOOLONG);
  }
  const auto number = [](const Node* node) {
    return node == nullptr ? 0u : static_cast<std::uint32_t>(node->inode());
  };
  disk.put_record(ext4::RenameRecord{number(this), number(&child), number(&target),
                                     number(existing), exchange ? 1u : 0u});
  Words words = {name.size(), new_name.size()};
  const auto renamed = as_change(disk.change(Request::kRename, words));
  return renamed ? TmpfsDirectory::rename(name, child, to, new_name, existing, exchange) : renamed;
}

Result<void> DiskDirectory::change(const AttributeChange& change) {
  if (const int failed = load()) {
    return fail(failed);
  }
  const auto changed = change_inode(attributes_, change);
  return changed ? TmpfsDirectory::change(change) : changed;
}

bool is_on_disk(const Node& node) {
  const Mount* mount = mount_of(node);
  return mount != nullptr && mount->magic == EXT4_SUPER_MAGIC;
}

bool mount_disk(Directory& root) {
  InodeRecord record{};
  record.inode = ext4::kRootInode;
  record.mode = kDirectory | 0755;
  record.links = 2;
  auto* made = new (std::nothrow) DiskDirectory(Name("data"), record, next_device());
  return root.put_child(made) && add_mount(*made, "ext4", "/dev/vda", EXT4_SUPER_MAGIC, false);
}

}  // namespace linux_server
