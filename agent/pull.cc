#include "agent/pull.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "agent/entry.h"

namespace ensemble::agent {
namespace {

constexpr std::size_t kPiece = kLargestBody;

char* piece() {
  static const std::unique_ptr<char[]> buffer(new char[kPiece]);
  return buffer.get();
}

}  // namespace

Pull::~Pull() {
  if (file_ >= 0) {
    ::close(file_);
  }
}

void Pull::start(std::string_view body) {
  BodyReader reader(body);
  path_ = reader.name();
  offset_ = reader.number<std::uint64_t>();
  if (!reader.ok()) {
    refuse("the request to read a file is malformed", EINVAL);
    return;
  }
  const int file = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  struct stat status {};
  if (file < 0 || ::fstat(file, &status) != 0) {
    fail("read", path_, errno);
  } else if (!S_ISREG(status.st_mode)) {
    S_ISDIR(status.st_mode) ? fail("read", path_, EISDIR)
                            : refuse("'" + path_ + "' is not a regular file", EINVAL);
  } else if (offset_ > static_cast<std::uint64_t>(status.st_size)) {
    refuse("'" + path_ + "' is shorter than the offset", EINVAL);
  }
  if (is_over()) {
    ::close(file);
    return;
  }
  file_ = file;
  first_ = status;
  size_ = static_cast<std::uint64_t>(status.st_size);
  BodyWriter entry;
  append_entry(entry, AT_FDCWD, path_.c_str(), last_part(path_), status);
  send(FrameType::kEntry, 0, entry.body());
  pump();
}

// Since it was opened. One that has no size, as those of /proc, is made anew as it is read.
bool Pull::has_changed() const {
  struct stat last {};
  return size_ != 0 && (::fstat(file_, &last) != 0 || last.st_size != first_.st_size ||
                        nanoseconds(last.st_mtim) != nanoseconds(first_.st_mtim) ||
                        nanoseconds(last.st_ctim) != nanoseconds(first_.st_ctim));
}

bool Pull::read(std::size_t most, std::string_view& bytes) {
  if (size_ != 0) {
    most = std::min<std::uint64_t>(most, size_ - done_);
  }
  ssize_t count = 0;
  while (most != 0 && (count = ::read(file_, piece(), most)) < 0 && errno == EINTR) {
  }
  if (count > 0) {
    bytes = {piece(), static_cast<std::size_t>(count)};
    digest_.add(bytes);
    done_ += bytes.size();
    return true;
  }
  if (count < 0) {
    fail("read", path_, errno);
  } else if (done_ < size_) {
    refuse("'" + path_ + "' became shorter while it was read", EIO);
  } else if (has_changed()) {
    refuse("'" + path_ + "' changed while it was read", ESTALE);
  } else {
    finish(FrameType::kDone, 0, done_body(done_, digest_.finish()));
  }
  return false;
}

void Pull::pump() {
  std::string_view bytes;
  while (file_ >= 0 && !is_over() && done_ >= offset_ && may_send()) {
    if (read(std::min<std::uint64_t>(kPiece, credit()), bytes)) {
      send_data(kContents, bytes);
    }
  }
}

void Pull::work() {
  std::string_view bytes;
  if (read(std::min<std::uint64_t>(kPiece, offset_ - done_), bytes)) {
    pump();
  }
}

}  // namespace ensemble::agent
