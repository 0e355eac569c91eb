#include "agent/listing.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "agent/entry.h"

namespace ensemble::agent {
namespace {

constexpr std::size_t kNamesInTurn = 64;

}  // namespace

Listing::~Listing() {
  if (directory_ != nullptr) {
    ::closedir(directory_);
  }
}

void Listing::stat(std::string_view body) {
  look(std::string(BodyReader(body).name()));
}

void Listing::look(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    fail("look at", path, errno);
    return;
  }
  BodyWriter entry;
  append_entry(entry, AT_FDCWD, path.c_str(), last_part(path), status);
  send(FrameType::kEntry, 0, entry.body());
  finish(FrameType::kDone, 0, done_body(1, {}));
}

void Listing::list(std::string_view body) {
  const std::string path(BodyReader(body).name());
  directory_ = ::opendir(path.c_str());
  if (directory_ == nullptr) {
    errno == ENOTDIR ? look(path) : fail("list", path, errno);
    return;
  }
  while (const dirent* const each = ::readdir(directory_)) {
    const std::string_view name = each->d_name;
    if (name != "." && name != "..") {
      names_.emplace_back(name);
    }
  }
  std::sort(names_.begin(), names_.end());
}

void Listing::work() {
  const std::size_t end = std::min(names_.size(), told_ + kNamesInTurn);
  BodyWriter entries;
  for (; told_ < end && entries.body().size() < kLargestBody / 4; ++told_) {
    const std::string& name = names_[told_];
    struct stat status {};
    // One that has gone meanwhile is none.
    if (::fstatat(::dirfd(directory_), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
      append_entry(entries, ::dirfd(directory_), name.c_str(), name, status);
    }
  }
  if (!entries.body().empty()) {
    send(FrameType::kEntry, 0, entries.body());
  }
  if (told_ == names_.size()) {
    finish(FrameType::kDone, 0, done_body(names_.size(), {}));
  }
}

}  // namespace ensemble::agent
