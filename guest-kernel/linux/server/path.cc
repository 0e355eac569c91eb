#include "guest-kernel/linux/server/path.h"

#include <algorithm>
#include <array>
#include <utility>

#include "guest-kernel/linux/server/mounts.h"

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

// Walks a path, one component at a time.
class Walk {
 public:
  Walk(Node& root, Node& start, const LookUp& how, Process* viewer, Place& place)
      : root_(root), start_(start), current_(&start), how_(how), viewer_(viewer), place_(place) {}

  Result<void> run(std::string_view path) {
    if (path.empty()) {
      return fail(ENOENT);
    }
    if (path.size() >= kMaximumPath || !rest_.prepend(path)) {
      return fail(ENAMETOOLONG);
    }
    if (path.front() == '/') {
      if (how_.stays_beneath) {
        return fail(EXDEV);
      }
      current_ = &root_;
    }
    place_.directory = current_;
    place_.node = current_;
    for (;;) {
      bool more = false;
      const std::string_view name = rest_.next(more);
      if (name.empty()) {
        return {};
      }
      if (const auto taken = step(name, more); !taken || !place_.node) {
        return taken;
      }
      if (how_.stays_on_device && current_->device() != start_.device()) {
        return fail(EXDEV);
      }
    }
  }

 private:
  void note(std::string_view name, LastComponent last, bool more) {
    place_.directory = current_;
    place_.last = last;
    place_.ends_in_slash = more;
    place_.name_size = static_cast<std::uint8_t>(name.size());
    std::copy(name.begin(), name.end(), place_.name_buffer.begin());
  }

  void enter(Reference<Node> node) {
    current_ = std::move(node);
    place_.node = current_;
  }

  // Takes one component. `more`: a slash follows it.
  Result<void> step(std::string_view name, bool more) {
    if (name.size() > kMaximumName) {
      return fail(ENAMETOOLONG);
    }
    if (!current_->is_directory()) {
      return fail(ENOTDIR);
    }
    if (viewer_ != nullptr && !may_search(*viewer_, *current_)) {
      return fail(EACCES);
    }
    if (name == ".") {
      note(name, LastComponent::kDot, more);
      enter(current_);
      return {};
    }
    if (name == "..") {
      note(name, LastComponent::kDotDot, more);
      if (how_.stays_beneath && current_.get() == &start_) {
        return fail(EXDEV);
      }
      if (current_.get() != &root_ && current_->parent() != nullptr) {
        enter(Reference<Node>(current_->parent()));
      }
      return {};
    }
    note(name, LastComponent::kName, more);
    Reference<Node> found = current_->look_up(name, viewer_);
    if (!found) {
      place_.node.reset();
      // Whether a slash at the end is an error is the caller's to say (Place::ends_in_slash).
      return more && !rest_.only_slashes() ? fail(ENOENT) : Result<void>();
    }
    if (!found->is_link() || (!more && !how_.follow_last)) {
      if (more && !found->is_directory()) {
        return fail(ENOTDIR);
      }
      while (Node* over = mounted_over(*found)) {
        found = over;
      }
      enter(std::move(found));
      return {};
    }
    return follow(*found);
  }

  Result<void> follow(Node& link) {
    if (++links_ > kMaximumLinks || how_.refuses_links) {
      return fail(ELOOP);
    }
    auto direct = link.follow(viewer_);
    if (!direct) {
      return std::unexpected(direct.error());
    }
    if (*direct) {
      if (how_.refuses_magic_links) {
        return fail(ELOOP);
      }
      if (how_.stays_beneath) {
        return fail(EXDEV);
      }
      enter(*direct);
      return {};
    }
    std::array<char, kMaximumPath> buffer;
    const Result<std::string_view> target = link.read_link(buffer, viewer_);
    if (!target) {
      return std::unexpected(target.error());
    }
    if (target->empty()) {
      return fail(ENOENT);
    }
    if (!rest_.prepend(*target)) {
      return fail(ENAMETOOLONG);
    }
    if (target->front() == '/') {
      if (how_.stays_beneath) {
        return fail(EXDEV);
      }
      enter(Reference<Node>(&root_));
      place_.directory = current_;
      place_.last = LastComponent::kRoot;
    }
    return {};
  }

  Node& root_;
  Node& start_;
  Reference<Node> current_;
  const LookUp& how_;
  Process* viewer_;
  Place& place_;
  Remainder rest_;
  unsigned links_ = 0;
};

}  // namespace

Result<void> resolve_place(Node& root, Node& start, std::string_view path, const LookUp& how,
                           Process* viewer, Place& place) {
  return Walk(root, start, how, viewer, place).run(path);
}

Result<Reference<Node>> resolve(Node& root, Node& start, std::string_view path, bool follow_last,
                                Process* viewer) {
  Place place;
  LookUp how;
  how.follow_last = follow_last;
  const auto found = resolve_place(root, start, path, how, viewer, place);
  if (!found) {
    return std::unexpected(found.error());
  }
  return place.node ? Result<Reference<Node>>(place.node) : fail(ENOENT);
}

}  // namespace linux_server
