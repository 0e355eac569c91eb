#include "guest-kernel/linux/server/node.h"

#include <algorithm>

namespace linux_server {
namespace {

std::uint64_t next_inode = 1;

}  // namespace

Node::Node(std::string_view name, std::uint32_t mode) : name_(name) {
  attributes_.inode = next_inode++;
  attributes_.device = kRootDevice;
  attributes_.mode = mode;
  attributes_.links = (mode & kTypeMask) == kDirectory ? 2 : 1;
}

Attributes Node::attributes(const Process* /*viewer*/) const {
  return attributes_;
}

Node* Node::look_up(std::string_view name, Process* /*viewer*/) {
  for (Node* child = first_child_; child != nullptr; child = child->next_sibling_) {
    if (child->name_ == name) {
      return child;
    }
  }
  return nullptr;
}

Result<std::string_view> Node::read_link(std::span<char> /*buffer*/,
                                         const Process* /*viewer*/) const {
  return fail(EINVAL);
}

Node* Node::entry(std::uint64_t index, Process* /*viewer*/) {
  if (cursor_ == nullptr || index < cursor_index_) {
    cursor_ = first_child_;
    cursor_index_ = 0;
  }
  Node* found = cursor_;
  while (found != nullptr && cursor_index_ < index) {
    found = found->next_sibling_;
    ++cursor_index_;
  }
  cursor_ = found;
  return found;
}

void Node::add_child(Node& child) {
  child.parent_ = this;
  child.next_sibling_ = nullptr;
  if (last_child_ == nullptr) {
    first_child_ = &child;
  } else {
    last_child_->next_sibling_ = &child;
  }
  last_child_ = &child;
  if (child.is_directory()) {
    ++attributes_.links;
  }
}

std::string_view Node::path(std::span<char> buffer) const {
  char* const end = buffer.data() + buffer.size();
  char* start = end;
  for (const Node* node = this; node->parent_ != nullptr; node = node->parent_) {
    const std::string_view name = node->name_;
    if (name.size() + 1 > static_cast<std::size_t>(start - buffer.data())) {
      return {};
    }
    start -= name.size();
    std::copy(name.begin(), name.end(), start);
    *--start = '/';
  }
  if (start == end && !buffer.empty()) {
    *--start = '/';
  }
  return {start, static_cast<std::size_t>(end - start)};
}

}  // namespace linux_server
