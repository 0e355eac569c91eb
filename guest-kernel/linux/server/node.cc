#include "guest-kernel/linux/server/node.h"

#include <algorithm>
#include <utility>

#include "guest-kernel/linux/server/node_extras.h"
#include "guest-kernel/linux/server/notify.h"

namespace linux_server {
namespace {

constinit std::uint64_t last_inode = 0;

bool put_before(char*& start, const char* limit, std::string_view text) {
  if (text.size() > static_cast<std::size_t>(start - limit)) {
    return false;
  }
  start -= text.size();
  std::copy(text.begin(), text.end(), start);
  return true;
}

}  // namespace

std::uint64_t next_inode() {
  return ++last_inode;
}

Node::Node(Name name, std::uint32_t mode) : name_(std::move(name)) {
  attributes_.inode = next_inode();
  attributes_.mode = mode;
  attributes_.links = (mode & kTypeMask) == kDirectory ? 2 : 1;
}

Node::~Node() {
  if (extras_ != nullptr) {
    end_watches(*this);
    delete extras_;
  }
  // Directories that only their children have kept go one after the other, not each within the end
  // of the one below it.
  Reference<Node> above = std::move(parent_);
  while (above && above->owners() == 1) {
    Reference<Node> next = std::move(above->parent_);
    above = std::move(next);
  }
}

Attributes Node::attributes(const Process* /*viewer*/) const {
  Attributes attributes;
  static_cast<StoredAttributes&>(attributes) = attributes_;
  attributes.size = size();
  return attributes;
}

Reference<Node> Node::look_up(std::string_view /*name*/, Process* /*viewer*/) {
  return {};
}
bool Node::next_entry(std::uint64_t /*position*/, Process* /*viewer*/, DirectoryItem& /*item*/) {
  return false;
}
Result<std::string_view> Node::read_link(std::span<char> /*buffer*/,
                                         const Process* /*viewer*/) const {
  return fail(EINVAL);
}
Result<Reference<Node>> Node::follow(Process* /*viewer*/) {
  return Reference<Node>();
}

std::int64_t Node::read_bytes(std::uint64_t offset, std::span<std::byte> to) {
  const std::span<const std::byte> bytes = contents();
  if (bytes.empty() && size() != 0) {
    return -EINVAL;
  }
  if (offset >= bytes.size()) {
    return 0;
  }
  const auto piece =
      bytes.subspan(offset, std::min<std::uint64_t>(to.size(), bytes.size() - offset));
  std::copy(piece.begin(), piece.end(), to.begin());
  return static_cast<std::int64_t>(piece.size());
}

std::uint64_t Node::page(std::uint64_t /*index*/, bool /*create*/) {
  return ~std::uint64_t{0};
}

Result<Reference<Node>> Node::create(std::string_view /*name*/, const NewNode& /*what*/) {
  return fail(EROFS);
}
Result<Reference<Node>> Node::create_unnamed(const NewNode& /*what*/) {
  return fail(attributes_.device == kRootDevice ? EROFS : EOPNOTSUPP);
}
Result<void> Node::link(std::string_view /*name*/, Node& /*child*/) {
  return fail(EROFS);
}
Result<void> Node::remove(std::string_view /*name*/, Node& /*child*/) {
  return fail(EROFS);
}
Result<void> Node::rename(std::string_view /*name*/, Node& /*child*/, Node& /*to*/,
                          std::string_view /*new_name*/, Node* /*existing*/, bool /*exchange*/) {
  return fail(EROFS);
}
Result<void> Node::change(const AttributeChange& /*change*/) {
  return fail(attributes_.device == kRootDevice ? EROFS : EPERM);
}
Result<void> Node::truncate(std::uint64_t /*size*/) {
  return fail(attributes_.device == kRootDevice ? EROFS : EINVAL);
}
Result<void> Node::allocate(AllocationKind /*kind*/, std::uint64_t /*offset*/,
                            std::uint64_t /*size*/) {
  return fail(attributes_.device == kRootDevice ? EROFS : EOPNOTSUPP);
}
std::uint64_t Node::seek(SeekTarget target, std::uint64_t offset) const {
  return target == SeekTarget::kData ? offset : size();
}

void Node::set_place(Name name, Node* parent) {
  name_ = std::move(name);
  parent_ = parent;
}

std::string_view Node::path(std::span<char> buffer, const Node* root) const {
  char* const end = buffer.data() + buffer.size();
  char* start = end;
  for (const Node* node = this; node != root && node->parent() != nullptr; node = node->parent()) {
    if (!put_before(start, buffer.data(), node->name()) || !put_before(start, buffer.data(), "/")) {
      return {};
    }
  }
  if (start == end && parent() == nullptr && !name().empty()) {
    // It never had a place: a file of memfd_create, a pipe.
    static_cast<void>(put_before(start, buffer.data(), name()));
  } else if (start == end) {
    static_cast<void>(put_before(start, buffer.data(), "/"));
  }
  return {start, static_cast<std::size_t>(end - start)};
}

std::string_view Node::path_and_state(std::span<char> buffer) const {
  constexpr std::string_view kDeleted = " (deleted)";
  if (!is_removed() || buffer.size() <= kDeleted.size()) {
    return path(buffer);
  }
  char* start = buffer.data() + buffer.size();
  static_cast<void>(put_before(start, buffer.data(), kDeleted));
  const std::string_view text = path(buffer.first(buffer.size() - kDeleted.size()));
  return text.empty() ? text : std::string_view(text.data(), text.size() + kDeleted.size());
}

NodeExtras* Node::make_extras() {
  if (extras_ == nullptr) {
    extras_ = new NodeExtras();
  }
  return extras_;
}

AttributeStore* Node::memory_attributes() {
  NodeExtras* extras = make_extras();
  return extras != nullptr ? &extras->attributes : nullptr;
}

Reference<Counted> Node::attachment() const {
  return extras_ != nullptr ? extras_->attachment : Reference<Counted>();
}

bool Node::set_attachment(Reference<Counted> object) {
  if (extras_ == nullptr && !object) {
    return true;
  }
  if (make_extras() == nullptr) {
    return false;
  }
  extras_->attachment = std::move(object);
  return true;
}

}  // namespace linux_server
