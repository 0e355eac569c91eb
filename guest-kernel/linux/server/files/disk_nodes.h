#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "guest-kernel/ext4/protocol.h"
#include "guest-kernel/linux/server/files/tmpfs.h"
#include "guest-kernel/linux/server/memory_share.h"

// Files and directories of the disk: names and attributes are kept here once they were asked for,
// bytes in pages as tmpfs has them. Each change goes to the file system's program at once.
namespace linux_server {

// The extended attributes of a node of the disk.
AttributeStore* disk_attributes(const Node& node);

// A regular file.
class DiskFile : public TmpfsFile, public Charged<disk_nodes_share> {
 public:
  DiskFile(Name name, const ext4::InodeRecord& record, std::uint32_t device);
  ~DiskFile() override;

  Attributes attributes(const Process* viewer) const override;
  Result<Reference<File>> open(std::uint32_t flags, Process& opener) override;
  std::int64_t read_bytes(std::uint64_t offset, std::span<std::byte> to) override;
  std::uint64_t page(std::uint64_t index, bool create) override;
  TmpfsFile* memory_file() override { return nullptr; }
  Result<void> change(const AttributeChange& change) override;
  Result<void> truncate(std::uint64_t size) override;
  Result<void> allocate(AllocationKind kind, std::uint64_t offset, std::uint64_t size) override;
  std::uint64_t seek(SeekTarget target, std::uint64_t offset) const override;
  AttributeStore* extended_attributes() override { return disk_attributes(*this); }

  std::int64_t read_through(const UserBuffer& buffer, std::uint64_t offset);
  std::int64_t write_through(const UserBuffer& buffer, std::uint64_t offset);
  // Sends what programs wrote through mappings. An errno or 0.
  int write_back();
  // What it has on the disk now, in bytes.
  void set_allocated(std::uint64_t bytes) { allocated_ = bytes, is_allocated_known_ = true; }
  // Forgets pages that are on the disk too.
  void drop_pages();

  DiskFile* next_file = nullptr;
  DiskFile* previous_file = nullptr;

 private:
  // The same as DiskFileSystem::change().
  int change_bytes(ext4::Request request, std::array<std::uint64_t, 8>& words);
  std::int64_t gather(const UserBuffer& buffer, std::uint64_t offset);
  int load(std::uint64_t offset, std::uint64_t size);
  int load_pages(std::uint64_t first, std::uint64_t count);
  static void shed_pages();
  template <typename Target>
  std::int64_t read_pages(std::uint64_t offset, std::uint64_t size, const Target& target);
  void keep_written(std::uint64_t offset, std::span<const std::byte> bytes, std::uint64_t old_size);

  bool may_be_dirty_ = false;  // a program may have written through a mapping
  // What it has on the disk, until that is changed.
  mutable std::uint64_t allocated_;
  mutable bool is_allocated_known_ = true;
};

// A link, named pipe, socket or device.
class DiskSpecial : public TmpfsSpecial, public Charged<disk_nodes_share> {
 public:
  DiskSpecial(Name name, const ext4::InodeRecord& record, std::uint32_t device);
  ~DiskSpecial() override;

  std::uint64_t size() const override { return size_; }
  Result<std::string_view> read_link(std::span<char> buffer, const Process* viewer) const override;
  Result<void> change(const AttributeChange& change) override;
  AttributeStore* extended_attributes() override { return disk_attributes(*this); }

 private:
  std::uint64_t size_;
};

// A directory. It is read as a whole when something first looks into it.
class DiskDirectory : public TmpfsDirectory, public Charged<disk_nodes_share> {
 public:
  DiskDirectory(Name name, const ext4::InodeRecord& record, std::uint32_t device);
  ~DiskDirectory() override;

  Attributes attributes(const Process* viewer) const override;
  Reference<Node> look_up(std::string_view name, Process* viewer) override;
  bool next_entry(std::uint64_t position, Process* viewer, DirectoryItem& item) override;
  bool is_empty() const override;
  Directory* table() override { return nullptr; }
  Result<Reference<Node>> create(std::string_view name, const NewNode& what) override;
  Result<Reference<Node>> create_unnamed(const NewNode& what) override;
  Result<void> link(std::string_view name, Node& child) override;
  Result<void> remove(std::string_view name, Node& child) override;
  Result<void> rename(std::string_view name, Node& child, Node& to, std::string_view new_name,
                      Node* existing, bool exchange) override;
  Result<void> change(const AttributeChange& change) override;
  AttributeStore* extended_attributes() override { return disk_attributes(*this); }

 protected:
  Node* make_child(Name name, const NewNode& what) override;

 private:
  // An errno or 0.
  int load();
  int load_entries();
  bool add_entry(std::string_view name, const ext4::InodeRecord& record);
  Result<ext4::InodeRecord> make_inode(std::string_view name, const NewNode& what) const;

  ext4::InodeRecord made_ = {};  // what make_child() makes a node of
  int error_ = 0;
  bool loaded_ = false;
};

// Whether the node is one of these.
bool is_on_disk(const Node& node);
// Puts the disk's file system at /data. False: no memory.
bool mount_disk(Directory& root);

}  // namespace linux_server
