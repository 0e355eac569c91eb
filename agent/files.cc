#include "agent/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "agent/wire.h"

namespace ensemble::agent {
namespace {

constexpr std::size_t kPiece = kLargestBody;

std::int64_t nanoseconds(const timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

std::string_view last_part(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) {
    path.remove_suffix(1);
  }
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos || path.size() == 1 ? path : path.substr(slash + 1);
}

void append_entry(BodyWriter& body, int directory, const char* path, std::string_view name,
                  const struct stat& status) {
  std::string target;
  if (S_ISLNK(status.st_mode)) {
    target.resize(4096);
    const ssize_t size = ::readlinkat(directory, path, target.data(), target.size());
    target.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  }
  body.text(name)
      .number(static_cast<std::uint32_t>(status.st_mode))
      .number(static_cast<std::uint64_t>(status.st_size))
      .number(static_cast<std::uint32_t>(status.st_uid))
      .number(static_cast<std::uint32_t>(status.st_gid))
      .number(nanoseconds(status.st_mtim))
      .text(target);
}

std::string done_body(std::uint64_t size, std::string_view sha256) {
  return BodyWriter().number(size).text(sha256).body();
}

std::string finish_digest(sha256_ctx& context) {
  std::string digest(kDigestSize, '\0');
  sha256_digest(&context, digest.size(), reinterpret_cast<std::uint8_t*>(digest.data()));
  return digest;
}

void update(sha256_ctx& context, std::string_view bytes) {
  sha256_update(&context, bytes.size(), reinterpret_cast<const std::uint8_t*>(bytes.data()));
}

char* piece() {
  static const std::unique_ptr<char[]> buffer(new char[kPiece]);
  return buffer.get();
}

// Beside `path`, known by the contents that it is to have.
std::string partial_path(const std::string& path, std::string_view sha256) {
  constexpr std::size_t kMostOfName = 200;
  const std::string_view name = last_part(path);
  std::string result = path.substr(0, path.size() - name.size());
  result += "." + std::string(name.substr(0, kMostOfName)) + ".";
  for (const char byte : sha256.substr(0, 8)) {
    constexpr char kDigits[] = "0123456789abcdef";
    result += kDigits[static_cast<unsigned char>(byte) >> 4];
    result += kDigits[byte & 15];
  }
  return result + ".part";
}

}  // namespace

void Listing::stat(std::string_view body) {
  const std::string path(BodyReader(body).text());
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    fail("look at", path, errno);
    return;
  }
  BodyWriter entry;
  append_entry(entry, AT_FDCWD, path.c_str(), last_part(path), status);
  send(FrameType::kEntry, 0, entry.body());
  finish(FrameType::kDone, 0, done_body(0, {}));
}

void Listing::list(std::string_view body) {
  const std::string path(BodyReader(body).text());
  DIR* const directory = ::opendir(path.c_str());
  if (directory == nullptr) {
    errno == ENOTDIR ? stat(body) : fail("list", path, errno);
    return;
  }
  std::vector<std::string> names;
  while (const dirent* const each = ::readdir(directory)) {
    const std::string_view name = each->d_name;
    if (name != "." && name != "..") {
      names.emplace_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    struct stat status {};
    // One that has gone meanwhile is none.
    if (::fstatat(::dirfd(directory), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
      BodyWriter entry;
      append_entry(entry, ::dirfd(directory), name.c_str(), name, status);
      send(FrameType::kEntry, 0, entry.body());
    }
  }
  ::closedir(directory);
  finish(FrameType::kDone, 0, done_body(names.size(), {}));
}

Pull::~Pull() {
  if (file_ >= 0) {
    ::close(file_);
  }
}

void Pull::start(std::string_view body) {
  BodyReader reader(body);
  path_ = reader.text();
  offset_ = reader.number<std::uint64_t>();
  file_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (file_ < 0 || ::fstat(file_, &before_) != 0) {
    fail("read", path_, errno);
    return;
  }
  if (!S_ISREG(before_.st_mode)) {
    refuse("'" + path_ + "' is not a regular file");
    return;
  }
  if (offset_ > static_cast<std::uint64_t>(before_.st_size)) {
    refuse("'" + path_ + "' is shorter than the offset");
    return;
  }
  sha256_init(&digest_);
  BodyWriter entry;
  append_entry(entry, AT_FDCWD, path_.c_str(), last_part(path_), before_);
  send(FrameType::kEntry, 0, entry.body());
  pump();
}

void Pull::pump() {
  while (!is_over() && file_ >= 0 && (may_send() || done_ < offset_)) {
    std::size_t size = kPiece;
    if (done_ < offset_) {
      size = std::min<std::uint64_t>(size, offset_ - done_);
    } else {
      size = std::min<std::uint64_t>(size, credit());
    }
    const ssize_t count = ::read(file_, piece(), size);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      fail("read", path_, errno);
      return;
    }
    const std::string_view bytes(piece(), static_cast<std::size_t>(count));
    if (count == 0) {
      struct stat after {};
      ::fstat(file_, &after);
      if (after.st_size != static_cast<off_t>(done_) ||
          nanoseconds(after.st_mtim) != nanoseconds(before_.st_mtim)) {
        refuse("'" + path_ + "' changed while it was read");
      } else {
        finish(FrameType::kDone, 0, done_body(done_, finish_digest(digest_)));
      }
      return;
    }
    update(digest_, bytes);
    if (done_ >= offset_) {
      send_data(kContents, bytes);
    }
    done_ += bytes.size();
  }
}

Push::~Push() {
  if (file_ >= 0) {
    ::close(file_);
  }
}

void Push::tell_state(std::string_view body) {
  BodyReader reader(body);
  const std::string path(reader.text());
  const std::string_view sha256 = reader.text();
  struct stat status {};
  const bool there = reader.ok() && sha256.size() == kDigestSize &&
                     ::stat(partial_path(path, sha256).c_str(), &status) == 0;
  finish(FrameType::kDone, 0,
         done_body(there ? static_cast<std::uint64_t>(status.st_size) : 0, {}));
}

void Push::start(std::string_view body) {
  BodyReader reader(body);
  path_ = reader.text();
  size_ = reader.number<std::uint64_t>();
  const auto offset = reader.number<std::uint64_t>();
  sha256_ = reader.text();
  mode_ = reader.number<std::uint32_t>();
  user_ = reader.number<std::uint32_t>();
  group_ = reader.number<std::uint32_t>();
  flags_ = reader.number<std::uint32_t>();
  time_ns_ = reader.number<std::int64_t>();
  if (!reader.ok() || sha256_.size() != kDigestSize || !path_.starts_with('/') ||
      path_.ends_with('/') || offset > size_) {
    refuse("the request to write a file is malformed");
    return;
  }
  partial_ = partial_path(path_, sha256_);
  sha256_init(&digest_);
  if (prepare((flags_ & kMakeDirectories) != 0)) {
    resume(offset);
  }
}

bool Push::prepare(bool make_directories) {
  for (std::size_t slash = path_.find('/', 1); make_directories && slash != std::string::npos;
       slash = path_.find('/', slash + 1)) {
    const std::string directory = path_.substr(0, slash);
    if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
      fail("make the directory", directory, errno);
      return false;
    }
  }
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
    fail("write", path_, EISDIR);
    return false;
  }
  file_ = ::open(partial_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file_ < 0) {
    fail("write", path_, errno);
  }
  return file_ >= 0;
}

// Goes on after the first `offset` bytes, which count for the checksum.
bool Push::resume(std::uint64_t offset) {
  while (done_ < offset) {
    const std::size_t size = std::min<std::uint64_t>(kPiece, offset - done_);
    const ssize_t count = ::read(file_, piece(), size);
    if (count <= 0) {
      refuse("less of '" + path_ + "' is there than the offset says");
      return false;
    }
    update(digest_, {piece(), static_cast<std::size_t>(count)});
    done_ += static_cast<std::size_t>(count);
  }
  if (::ftruncate(file_, static_cast<off_t>(offset)) != 0) {
    fail("write", path_, errno);
    return false;
  }
  return true;
}

void Push::take(const FrameHeader& header, std::string_view body) {
  if (header.type == FrameType::kData) {
    write(body);
  } else if (header.type == FrameType::kEndOfData) {
    complete();
  }
}

void Push::write(std::string_view bytes) {
  if (bytes.size() > size_ - done_) {
    refuse("more of '" + path_ + "' came than its size says");
    return;
  }
  const std::size_t size = bytes.size();
  update(digest_, bytes);
  done_ += size;
  while (!bytes.empty()) {
    const ssize_t count = ::write(file_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      const int error = errno;
      if (error == ENOSPC || error == EDQUOT) {
        ::unlink(partial_.c_str());
      }
      fail("write", path_, error);
      return;
    }
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  written_ += static_cast<std::uint32_t>(size);
  if (written_ >= kCreditStep) {
    send(FrameType::kCredit, std::exchange(written_, 0));
  }
}

void Push::complete() {
  if (done_ != size_) {
    refuse("less of '" + path_ + "' came than its size says");
    return;
  }
  if (finish_digest(digest_) != sha256_) {
    ::unlink(partial_.c_str());
    refuse("the checksum of '" + path_ + "' is wrong: its contents did not arrive as they were");
    return;
  }
  if (settle()) {
    finish(FrameType::kDone, 0, done_body(size_, sha256_));
  } else {
    fail("write", path_, errno);
  }
}

// Puts the complete file in its place, so that it is there whole or not at all.
bool Push::settle() {
  if (::fchown(file_, user_, group_) != 0 || ::fchmod(file_, mode_) != 0) {
    return false;
  }
  if ((flags_ & kSetTime) != 0) {
    const timespec time{.tv_sec = time_ns_ / 1'000'000'000, .tv_nsec = time_ns_ % 1'000'000'000};
    const timespec times[2] = {time, time};
    if (::futimens(file_, times) != 0) {
      return false;
    }
  }
  if (::fsync(file_) != 0 || ::rename(partial_.c_str(), path_.c_str()) != 0) {
    return false;
  }
  const std::string folder = path_.substr(0, std::max<std::size_t>(path_.rfind('/'), 1));
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = directory >= 0 && (::fsync(directory) == 0 || errno == EINVAL);
  ::close(directory);
  return synced;
}

}  // namespace ensemble::agent
