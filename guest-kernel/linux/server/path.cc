#include "guest-kernel/linux/server/path.h"

#include <algorithm>
#include <array>

namespace linux_server {
namespace {

// The part of a path that is still to be walked, kept at the end of a buffer so that a link's
// target can be put before it.
class Remainder {
 public:
  bool prepend(std::string_view text) {
    const std::size_t size = text.size();
    if (size > start_) {
      return false;
    }
    start_ -= text.size();
    std::copy(text.begin(), text.end(), buffer_.begin() + static_cast<std::ptrdiff_t>(start_));
    return true;
  }

  // Takes the next component; empty at the end. Slashes around it are skipped; `more` says whether
  // a component or a slash follows.
  std::string_view next(bool& more) {
    while (start_ < buffer_.size() && buffer_[start_] == '/') {
      ++start_;
    }
    const std::size_t first = start_;
    while (start_ < buffer_.size() && buffer_[start_] != '/') {
      ++start_;
    }
    more = start_ < buffer_.size();
    return {buffer_.data() + first, start_ - first};
  }

  bool only_slashes() const {
    return std::all_of(buffer_.begin() + static_cast<std::ptrdiff_t>(start_), buffer_.end(),
                       [](char byte) { return byte == '/'; });
  }

 private:
  std::array<char, kMaximumPath> buffer_;
  std::size_t start_ = kMaximumPath;
};

}  // namespace

Result<Place> resolve_place(Node& root, Node& start, std::string_view path, bool follow_last,
                            Process* viewer) {
  if (path.empty()) {
    return fail(ENOENT);
  }
  Remainder rest;
  if (path.size() >= kMaximumPath || !rest.prepend(path)) {
    return fail(ENAMETOOLONG);
  }
  Node* current = path.front() == '/' ? &root : &start;
  Node* directory = current;
  unsigned links = 0;
  bool more = false;
  for (;;) {
    const std::string_view name = rest.next(more);
    if (name.empty()) {
      return Place{directory, current};
    }
    if (name.size() > kMaximumName) {
      return fail(ENAMETOOLONG);
    }
    if (!current->is_directory()) {
      return fail(ENOTDIR);
    }
    directory = current;
    if (name == ".") {
      continue;
    }
    if (name == "..") {
      current = current == &root || current->parent() == nullptr ? current : current->parent();
      continue;
    }
    Node* found = current->look_up(name, viewer);
    if (found == nullptr) {
      if (more && !rest.only_slashes()) {
        return fail(ENOENT);
      }
      return Place{directory, nullptr};
    }
    if (!found->is_link() || (!more && !follow_last)) {
      if (more && !found->is_directory()) {
        return fail(ENOTDIR);
      }
      current = found;
      continue;
    }
    if (++links > kMaximumLinks) {
      return fail(ELOOP);
    }
    std::array<char, kMaximumPath> buffer;
    const Result<std::string_view> target = found->read_link(buffer, viewer);
    if (!target) {
      return std::unexpected(target.error());
    }
    if (target->empty()) {
      return fail(ENOENT);
    }
    if (!rest.prepend(*target)) {
      return fail(ENAMETOOLONG);
    }
    if (target->front() == '/') {
      current = &root;
    }
  }
}

Result<Node*> resolve(Node& root, Node& start, std::string_view path, bool follow_last,
                      Process* viewer) {
  const Result<Place> place = resolve_place(root, start, path, follow_last, viewer);
  if (!place) {
    return std::unexpected(place.error());
  }
  return place->node != nullptr ? Result<Node*>(place->node) : fail(ENOENT);
}

}  // namespace linux_server
