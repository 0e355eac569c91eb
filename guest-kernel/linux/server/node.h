#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "guest-kernel/linux/server/name.h"
#include "guest-kernel/linux/server/reference.h"
#include "guest-kernel/linux/server/result.h"

namespace linux_server {

class AttributeStore;
class Directory;
class File;
class Node;
struct NodeExtras;
class Process;
class TmpfsFile;

// The type bits of Attributes::mode.
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
inline constexpr std::uint32_t kPermissionMask = 07777;
inline constexpr std::uint32_t kSetUserId = 04000;
inline constexpr std::uint32_t kSetGroupId = 02000;
inline constexpr std::uint32_t kSticky = 01000;

// st_dev of the file systems that always exist; the others get numbers from kFirstDevice on.
inline constexpr std::uint32_t kRootDevice = 1;
inline constexpr std::uint32_t kProcDevice = 4;
inline constexpr std::uint32_t kVirtualDevice = 5;  // nodes without a place: pipes, sockets
inline constexpr std::uint32_t kSystemDevice = 6;   // /sys
inline constexpr std::uint32_t kFirstDevice = 32;

// What a node keeps about itself.
struct StoredAttributes {
  std::uint64_t inode = 0;
  // Nanoseconds since 1970.
  std::int64_t accessed = 0;
  std::int64_t modified = 0;
  std::int64_t changed = 0;
  std::int64_t created = 0;
  std::uint32_t mode = 0;
  std::uint32_t links = 1;
  std::uint32_t user = 0;
  std::uint32_t group = 0;
  std::uint32_t device_number = 0;  // of a device node, as mknod(2) is given it
  std::uint32_t device = kVirtualDevice;
};

// What stat(2) reports of a node.
struct Attributes : StoredAttributes {
  std::uint64_t size = 0;
  std::uint64_t allocated = 0;  // bytes of storage
};

// What chmod, chown and utimensat change.
struct AttributeChange {
  std::optional<std::uint32_t> permissions;
  std::optional<std::uint32_t> user;
  std::optional<std::uint32_t> group;
  std::optional<std::int64_t> accessed;
  std::optional<std::int64_t> modified;
};

// What a new entry of a directory is to be.
struct NewNode {
  std::uint32_t mode = 0;  // type and permissions, the mask applied
  std::uint32_t user = 0;
  std::uint32_t group = 0;
  std::uint32_t device_number = 0;
  std::string_view target;  // of a symbolic link
  bool on_disk = false;     // it is not one of the files that memory has room for
};

// One entry of a listing. `name` may lie in `storage`.
struct DirectoryItem {
  std::string_view name;
  std::uint64_t inode = 0;
  std::uint32_t type = 0;
  std::uint64_t position = 0;
  char storage[24] = {};
};

enum class SeekTarget : std::uint8_t { kData, kHole };

// How fallocate(2) changes a range.
enum class AllocationKind : std::uint8_t { kAllocate, kKeepSize, kPunchHole, kZero, kZeroKeepSize };

// A file, directory, link or device. It lives as long as a directory, an open file, a mapping or a
// process holds a reference to it. A node has one name of possibly several: the one it was last
// found by.
class Node : public Counted {
 public:
  // `name` stays where it is.
  Node(std::string_view name, std::uint32_t mode) : Node(Name(name), mode) {}
  Node(Name name, std::uint32_t mode);
  ~Node() override;

  std::string_view name() const { return name_.view(); }
  const Name& shared_name() const { return name_; }
  // The directory that has or, if it was removed, had it. Null: the root, or no name.
  Node* parent() const { return parent_.get(); }
  std::uint32_t type() const { return attributes_.mode & kTypeMask; }
  bool is_directory() const { return type() == kDirectory; }
  bool is_link() const { return type() == kSymbolicLink; }
  bool is_executable() const { return (attributes_.mode & 0111) != 0; }
  std::uint32_t device() const { return attributes_.device; }
  std::uint64_t inode() const { return attributes_.inode; }
  // Nothing in the tree leads to it any more.
  bool is_removed() const { return attributes_.links == 0; }

  // `viewer` asks; it may be null where no process does.
  virtual Attributes attributes(const Process* viewer) const;
  virtual std::uint64_t size() const { return 0; }
  // A directory's entry `name`, or null.
  virtual Reference<Node> look_up(std::string_view name, Process* viewer);
  // The first entry of a directory after `position`, which is 0 or an item's. False: none.
  virtual bool next_entry(std::uint64_t position, Process* viewer, DirectoryItem& item);
  // A symbolic link's target, written into `buffer` or elsewhere. EINVAL: no link.
  virtual Result<std::string_view> read_link(std::span<char> buffer, const Process* viewer) const;
  // Where a link of /proc leads, which need not have a name; null: it is followed by its text.
  virtual Result<Reference<Node>> follow(Process* viewer);
  // A new open file. `flags` as open(2)'s.
  virtual Result<Reference<File>> open(std::uint32_t flags, Process& opener);
  // The bytes, where they lie in the root archive unchanged for ever; else empty.
  virtual std::span<const std::byte> contents() const { return {}; }
  // A regular file's bytes from `offset` on, as many as there are. Negative errno.
  virtual std::int64_t read_bytes(std::uint64_t offset, std::span<std::byte> to);

  // The page of 4 KiB at `index` as an offset in the memory pool, for mapping; MemoryPool::kNone: a
  // hole, or no memory. The file keeps one share of it: whoever maps it takes another.
  virtual std::uint64_t page(std::uint64_t index, bool create);
  virtual bool has_pages() const { return false; }
  // mmap of a sealed file: EPERM if it may not be written to.
  virtual bool may_map_writable() const { return true; }
  // Address spaces that map it.
  std::uint32_t mappings = 0;
  // Open files through which it can be written, and address spaces that run it: never both.
  std::uint32_t writers = 0;
  std::uint32_t executions = 0;

  // Changes of a directory; the callers have made sure that this is one, that `name` is free or
  // leads to `child`, and that both are in one file system. EROFS, EPERM, ENOSPC.
  virtual Result<Reference<Node>> create(std::string_view name, const NewNode& what);
  // A node without a name (O_TMPFILE).
  virtual Result<Reference<Node>> create_unnamed(const NewNode& what);
  virtual Result<void> link(std::string_view name, Node& child);
  // ENOTEMPTY: `child` is a directory with entries.
  virtual Result<void> remove(std::string_view name, Node& child);
  // Moves `child` into `to` as `new_name`, in place of `existing` if it is not null, or in exchange
  // for it.
  virtual Result<void> rename(std::string_view name, Node& child, Node& to,
                              std::string_view new_name, Node* existing, bool exchange);
  virtual bool is_empty() const { return true; }
  // A regular file in memory.
  virtual TmpfsFile* memory_file() { return nullptr; }
  // The directory's table of entries, if it has one.
  virtual Directory* table() { return nullptr; }
  // Of which process this is the directory in /proc; 0: it is none.
  virtual std::uint32_t process_id() const { return 0; }

  // Changes of a node. EROFS, EPERM, ENOSPC.
  virtual Result<void> change(const AttributeChange& change);
  virtual Result<void> truncate(std::uint64_t size);
  virtual Result<void> allocate(AllocationKind kind, std::uint64_t offset, std::uint64_t size);
  // Next data or hole at or after `offset`, which is less than size().
  virtual std::uint64_t seek(SeekTarget target, std::uint64_t offset) const;
  // Its extended attributes, until the next call; null: the file system keeps none, or no memory.
  virtual AttributeStore* extended_attributes() { return nullptr; }

  // Writes the absolute path of this node so that it ends at the end of `buffer`; empty if it does
  // not fit. Seen from `root`, or the root of all if that is null.
  std::string_view path(std::span<char> buffer, const Node* root = nullptr) const;
  // As path(), with " (deleted)" after it where that holds.
  std::string_view path_and_state(std::span<char> buffer) const;

  // Its place has changed.
  void set_place(Name name, Node* parent);
  // Locks, watches and the like; null until there are any.
  NodeExtras* extras() const { return extras_; }
  // Null: no memory.
  NodeExtras* make_extras();
  // What a file mode has of its own: the pipe of pipe(2), or a bound socket.
  Reference<Counted> attachment() const;
  bool set_attachment(Reference<Counted> object);

 protected:
  // For nodes that keep their own name.
  void set_name(std::string_view name) { name_ = Name(name); }
  // extended_attributes() of one in memory.
  AttributeStore* memory_attributes();

  StoredAttributes attributes_;

 private:
  // It counts the links of its entries.
  friend class TmpfsDirectory;

  Name name_;
  Reference<Node> parent_;
  NodeExtras* extras_ = nullptr;
};

// Number of a new node.
std::uint64_t next_inode();
// The wall clock, as file times have it.
std::int64_t file_time();

}  // namespace linux_server
