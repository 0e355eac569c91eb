#include "guest-kernel/linux/server/directory.h"

#include <algorithm>
#include <new>
#include <utility>

namespace linux_server {
namespace {

constexpr std::uint32_t kFirstCapacity = 4;
// Fewer entries than this are compared one by one.
constexpr std::uint32_t kHashedFrom = 16;
constexpr std::uint32_t kMaximumEntries = 1u << 28;

std::uint32_t hash_of(std::string_view name) {
  std::uint32_t hash = 2166136261u;  // FNV-1a
  for (const char byte : name) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 16777619u;
  }
  return hash ^ hash >> 15;
}

template <typename T>
T* allocate(std::uint32_t count) {
  return static_cast<T*>(::operator new(count * sizeof(T), std::nothrow));
}

template <typename T>
void release(T* items, std::uint32_t count) {
  if (items != nullptr) {
    ::operator delete(items, count * sizeof(T));
  }
}

}  // namespace

DirectoryTable::~DirectoryTable() {
  for (std::uint32_t index = 0; index < used_; ++index) {
    if (entries_[index].node != nullptr) {
      entries_[index].node->release();
    }
    entries_[index].~Entry();
  }
  release(entries_, capacity_);
  release(buckets_, bucket_count_);
}

std::uint32_t DirectoryTable::index_of(std::string_view name) const {
  const std::uint32_t hash = hash_of(name);
  const auto matches = [&](const Entry& entry) {
    return entry.node != nullptr && entry.hash == hash && entry.name.view() == name;
  };
  if (bucket_count_ == 0) {
    const Entry* found = std::find_if(entries_, entries_ + used_, matches);
    return static_cast<std::uint32_t>(found - entries_);
  }
  for (std::uint32_t index = buckets_[hash & (bucket_count_ - 1)]; index != 0;
       index = entries_[index - 1].next) {
    if (matches(entries_[index - 1])) {
      return index - 1;
    }
  }
  return used_;
}

Node* DirectoryTable::find(std::string_view name) const {
  const std::uint32_t index = index_of(name);
  return index < used_ ? entries_[index].node : nullptr;
}

// Moves the entries, without the holes, to an array of `capacity` and hashes them anew.
bool DirectoryTable::rebuild(std::uint32_t capacity) {
  auto* entries = allocate<Entry>(capacity);
  std::uint32_t bucket_count = 0;
  std::uint32_t* buckets = nullptr;
  if (capacity >= kHashedFrom) {
    bucket_count = capacity;
    buckets = allocate<std::uint32_t>(bucket_count);
  }
  if (entries == nullptr || (bucket_count != 0 && buckets == nullptr)) {
    release(entries, capacity);
    release(buckets, bucket_count);
    return false;
  }
  std::fill_n(buckets, bucket_count, 0u);
  std::uint32_t used = 0;
  for (std::uint32_t index = 0; index < used_; ++index) {
    if (entries_[index].node != nullptr) {
      Entry* entry = new (&entries[used]) Entry(std::move(entries_[index]));
      ++used;
      if (bucket_count != 0) {
        std::uint32_t& bucket = buckets[entry->hash & (bucket_count - 1)];
        entry->next = std::exchange(bucket, used);
      }
    }
    entries_[index].~Entry();
  }
  release(std::exchange(entries_, entries), std::exchange(capacity_, capacity));
  release(std::exchange(buckets_, buckets), std::exchange(bucket_count_, bucket_count));
  used_ = used;
  return true;
}

bool DirectoryTable::reserve() {
  if (used_ < capacity_) {
    return true;
  }
  if (count_ >= kMaximumEntries) {
    return false;
  }
  // Holes are closed where they are many; else there is too little room.
  const bool has_holes = count_ < capacity_ - capacity_ / 4;
  return rebuild(has_holes ? capacity_ : std::max(capacity_ * 2, kFirstCapacity));
}

bool DirectoryTable::insert(const Name& name, Node& node) {
  if (!reserve()) {
    return false;
  }
  const std::uint32_t hash = hash_of(name.view());
  auto* entry = new (&entries_[used_]) Entry{name, &node, next_position_++, hash, 0};
  ++used_;
  ++count_;
  if (bucket_count_ != 0) {
    entry->next = std::exchange(buckets_[hash & (bucket_count_ - 1)], used_);
  }
  node.acquire();
  return true;
}

void DirectoryTable::replace(std::string_view name, Node& node) {
  const std::uint32_t index = index_of(name);
  if (index < used_) {
    node.acquire();
    std::exchange(entries_[index].node, &node)->release();
  }
}

void DirectoryTable::erase(std::string_view name) {
  const std::uint32_t index = index_of(name);
  if (index >= used_) {
    return;
  }
  Entry& entry = entries_[index];
  if (bucket_count_ != 0) {
    std::uint32_t* link = &buckets_[entry.hash & (bucket_count_ - 1)];
    while (*link != index + 1) {
      link = &entries_[*link - 1].next;
    }
    *link = entry.next;
  }
  --count_;
  Node* node = std::exchange(entry.node, nullptr);
  // `name` may be the entry's own.
  entry.name = Name();
  node->release();
  if (count_ == 0) {
    used_ = 0;
  }
}

const DirectoryTable::Entry* DirectoryTable::after(std::uint64_t position) const {
  const Entry* entry = std::upper_bound(
      entries_, entries_ + used_, position,
      [](std::uint64_t wanted, const Entry& each) { return wanted < each.position; });
  while (entry != entries_ + used_ && entry->node == nullptr) {
    ++entry;
  }
  return entry == entries_ + used_ ? nullptr : entry;
}

Reference<Node> Directory::look_up(std::string_view name, Process* /*viewer*/) {
  return Reference<Node>(entries_.find(name));
}

bool Directory::next_entry(std::uint64_t position, Process* /*viewer*/, DirectoryItem& item) {
  const DirectoryTable::Entry* entry = entries_.after(position);
  if (entry == nullptr) {
    return false;
  }
  item.name = entry->name.view();
  item.inode = entry->node->inode();
  item.type = entry->node->type();
  item.position = entry->position;
  return true;
}

bool Directory::add_child(Node* child) {
  const Reference<Node> share(child);
  if (child == nullptr || !entries_.insert(child->shared_name(), *child)) {
    return false;
  }
  child->set_place(child->shared_name(), this);
  if (child->is_directory()) {
    ++attributes_.links;
  }
  return true;
}

bool Directory::put_child(Node* child) {
  if (child == nullptr || entries_.find(child->name()) == nullptr) {
    return add_child(child);
  }
  const Reference<Node> old(entries_.find(child->name()));
  if (old->is_directory() != child->is_directory()) {
    child->is_directory() ? ++attributes_.links : --attributes_.links;
  }
  child->set_place(child->shared_name(), this);
  entries_.replace(child->name(), *child);
  return true;
}

}  // namespace linux_server
