#pragma once

#include <cstdint>
#include <string_view>

#include "guest-kernel/linux/server/growing_array.h"
#include "guest-kernel/linux/server/node.h"

namespace linux_server {

// Names and nodes, found by hash and listed in the order in which they were added. A position in
// the list stays right whatever is added or removed meanwhile.
class DirectoryTable {
 public:
  DirectoryTable() = default;
  DirectoryTable(const DirectoryTable&) = delete;
  DirectoryTable& operator=(const DirectoryTable&) = delete;
  ~DirectoryTable();

  std::size_t size() const { return count_; }
  Node* find(std::string_view name) const;
  // Adds a name that is not in the table. False: no memory.
  [[nodiscard]] bool insert(const Name& name, Node& node);
  // Makes a following insert() certain to succeed.
  [[nodiscard]] bool reserve();
  // Gives a name another node.
  void replace(std::string_view name, Node& node);
  void erase(std::string_view name);
  // The first entry after `position`; null: none.
  struct Entry {
    Name name;
    Node* node;  // holds a share; null: a hole
    std::uint64_t position;
    std::uint32_t hash;
    std::uint32_t next;  // index + 1 in the same bucket
  };
  const Entry* after(std::uint64_t position) const;

 private:
  std::uint32_t index_of(std::string_view name) const;
  bool rebuild(std::uint32_t capacity);

  Entry* entries_ = nullptr;
  std::uint32_t used_ = 0;  // entries and holes
  std::uint32_t count_ = 0;
  std::uint32_t capacity_ = 0;
  std::uint32_t bucket_count_ = 0;  // a power of two; 0: there are too few entries for it
  std::uint32_t* buckets_ = nullptr;
  // Positions 1 and 2 are those of "." and "..".
  std::uint64_t next_position_ = 3;
};

// A directory whose entries are in a table. By itself it is read-only.
class Directory : public Node {
 public:
  explicit Directory(std::string_view name, std::uint32_t permissions = 0755)
      : Node(name, kDirectory | permissions) {}
  Directory(Name name, std::uint32_t permissions)
      : Node(std::move(name), kDirectory | permissions) {}

  Reference<Node> look_up(std::string_view name, Process* viewer) override;
  bool next_entry(std::uint64_t position, Process* viewer, DirectoryItem& item) override;
  bool is_empty() const override { return entries_.size() == 0; }
  Directory* table() override { return this; }

  // Adds `child`, a new node, as the last entry of this directory, which shares it from now on, or
  // deletes it: false, no memory.
  [[nodiscard]] bool add_child(Node* child);
  // Puts `child` in place of the entry of its name, or adds it.
  [[nodiscard]] bool put_child(Node* child);

  // The attributes that an archive gives.
  void set_attributes(const StoredAttributes& attributes) { attributes_ = attributes; }

 protected:
  DirectoryTable entries_;
};

}  // namespace linux_server
