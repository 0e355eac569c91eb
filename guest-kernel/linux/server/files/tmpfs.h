#pragma once

#include <cstdint>
#include <string_view>

#include "guest-kernel/linux/server/directory.h"
#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/page_tree.h"

// Files in memory: tmpfs(5), and those of memfd_create(2).
namespace linux_server {

// F_SEAL_…
enum Seal : std::uint32_t {
  kSealSeal = 1,
  kSealShrink = 2,
  kSealGrow = 4,
  kSealWrite = 8,
  kSealFutureWrite = 16,
  kKnownSeals = 31,
};

// One of the files, directories and further names that there may be: tmpfs(5), nr_inodes.
class InodeShare {
 public:
  // One that does not count has its place on a disk.
  explicit InodeShare(bool counts) : counts_(counts) { used_ += counts_ ? 1 : 0; }
  InodeShare(const InodeShare&) = delete;
  InodeShare& operator=(const InodeShare&) = delete;
  ~InodeShare() { used_ -= counts_ ? 1 : 0; }

  bool counts() const { return counts_; }
  static std::uint64_t limit();
  static std::uint64_t used() { return used_; }
  static bool is_used_up() { return used_ >= limit(); }
  // A further name of a file.
  static void add_link() { ++used_; }
  static void drop_link() { --used_; }

 private:
  static inline constinit std::uint64_t used_ = 0;
  bool counts_;
};

// A regular file.
class TmpfsFile : public Node {
 public:
  TmpfsFile(Name name, const NewNode& what, std::uint32_t device);

  Attributes attributes(const Process* viewer) const override;
  std::uint64_t size() const override { return size_; }
  Result<Reference<File>> open(std::uint32_t flags, Process& opener) override;
  std::int64_t read_bytes(std::uint64_t offset, std::span<std::byte> to) override;
  std::uint64_t page(std::uint64_t index, bool create) override;
  bool has_pages() const override { return true; }
  TmpfsFile* memory_file() override { return this; }
  bool may_map_writable() const override { return (seals_ & (kSealWrite | kSealFutureWrite)) == 0; }
  Result<void> change(const AttributeChange& change) override;
  Result<void> truncate(std::uint64_t size) override;
  Result<void> allocate(AllocationKind kind, std::uint64_t offset, std::uint64_t size) override;
  std::uint64_t seek(SeekTarget target, std::uint64_t offset) const override;
  AttributeStore* extended_attributes() override { return memory_attributes(); }

  // Copies between the pages and a program or a buffer: at most `size` bytes, fewer where the other
  // side or memory ends. Negative errno.
  std::int64_t read(const UserBuffer& buffer, std::uint64_t offset);
  std::int64_t write(const UserBuffer& buffer, std::uint64_t offset);
  std::int64_t write(std::span<const std::byte> bytes, std::uint64_t offset);

  std::uint32_t seals() const { return seals_; }
  void set_seals(std::uint32_t seals) { seals_ = seals; }
  // memfd: it never had a link.
  void forget_links() { attributes_.links = 0; }

 protected:
  // The bytes of [offset, offset + size) in pages that exist become zero; whole pages go.
  void clear(std::uint64_t offset, std::uint64_t size);
  void set_modified();

  PageTree pages_;
  std::uint64_t size_ = 0;

 private:
  friend class TmpfsDirectory;

  template <typename Source>
  std::int64_t write_pages(std::uint64_t offset, std::uint64_t size, const Source& source);

  std::uint32_t seals_ = kSealSeal;
  InodeShare inode_;
};

class TmpfsDirectory : public Directory {
 public:
  TmpfsDirectory(Name name, const NewNode& what, std::uint32_t device);

  std::uint64_t size() const override { return (entries_.size() + 2) * 20; }
  Result<Reference<Node>> create(std::string_view name, const NewNode& what) override;
  Result<Reference<Node>> create_unnamed(const NewNode& what) override;
  Result<void> link(std::string_view name, Node& child) override;
  Result<void> remove(std::string_view name, Node& child) override;
  Result<void> rename(std::string_view name, Node& child, Node& to, std::string_view new_name,
                      Node* existing, bool exchange) override;
  Result<void> change(const AttributeChange& change) override;
  Reference<Node> look_up(std::string_view name, Process* viewer) override;
  AttributeStore* extended_attributes() override { return memory_attributes(); }

 protected:
  // A new node of the kind that `what` says, without a place yet. Null: no memory.
  virtual Node* make_child(Name name, const NewNode& what);

 private:
  void set_modified();
  void drop_link(Node& child) const;
  void rename_within_tables(std::string_view name, Node& child, TmpfsDirectory& target,
                            const Name& new_name, Node* existing, bool exchange);

  InodeShare inode_;
};

// Links, named pipes, sockets and devices.
class TmpfsSpecial : public Node {
 public:
  TmpfsSpecial(Name name, const NewNode& what, Name target, std::uint32_t device);
  ~TmpfsSpecial() override;

  std::uint64_t size() const override { return target_.view().size(); }
  Result<std::string_view> read_link(std::span<char> buffer, const Process* viewer) const override;
  Result<Reference<File>> open(std::uint32_t flags, Process& opener) override;
  Result<void> change(const AttributeChange& change) override;
  AttributeStore* extended_attributes() override { return memory_attributes(); }

 private:
  // What the target takes of the files' memory.
  static std::uint64_t cost_of(const Name& target);
  friend Node* make_special(Name name, const NewNode& what, std::uint32_t device);

  Name target_;
  InodeShare inode_;
};

// An open file in memory.
class TmpfsOpenFile : public File {
 public:
  TmpfsOpenFile(TmpfsFile& node, std::uint32_t flags) : File(node, flags), file_(node) {}

  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::int64_t write(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::int64_t write_bytes(Task& task, std::span<const std::byte> bytes) override;
  std::int64_t write_bytes_at(Task& task, std::span<const std::byte> bytes,
                              std::uint64_t offset) override;

 private:
  TmpfsFile& file_;
};

// Makes a file system in memory and puts it at the absolute `path`, whose directories are made in
// the read-only root where they are missing. Null: no memory, or a component is no directory.
TmpfsDirectory* mount_tmpfs(Node& root, std::string_view path, std::string_view type,
                            std::uint32_t permissions);
// The root of a new file system in memory, without a place. Null: no memory.
Reference<Node> make_tmpfs(const NewNode& what);
// Takes all entries out of a directory in memory, and out of those below it, which would keep each
// other for ever.
void clear_tmpfs(Node& directory);
// A file without a place. ENOMEM.
Result<Reference<TmpfsFile>> make_memory_file(std::string_view name, const NewNode& what);

}  // namespace linux_server
