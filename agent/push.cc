#include "agent/push.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "agent/entry.h"

namespace ensemble::agent {
namespace {

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

std::string folder_of(const std::string& path) {
  return path.substr(0, std::max<std::size_t>(path.rfind('/'), 1));
}

bool is_directory(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

// Whether the file is one that this agent has made, and not one that a program put in its place.
bool is_own(const struct stat& status) {
  return S_ISREG(status.st_mode) && status.st_uid == ::geteuid() && status.st_nlink == 1 &&
         (status.st_mode & 0077) == 0;
}

bool is_own(int file) {
  struct stat status {};
  return ::fstat(file, &status) == 0 && is_own(status);
}

}  // namespace

Push::~Push() {
  if (file_ >= 0) {
    if (!checking_ && done_ == 0 && size_ != 0) {
      ::unlink(partial_.c_str());  // Nothing to go on with.
    }
    ::close(file_);
  }
}

void Push::tell_state(std::string_view body) {
  BodyReader reader(body);
  const std::string path(reader.name());
  const std::string_view sha256 = reader.text();
  struct stat status {};
  const bool there = reader.ok() && sha256.size() == kDigestSize &&
                     ::lstat(partial_path(path, sha256).c_str(), &status) == 0 && is_own(status);
  finish(FrameType::kDone, 0,
         done_body(there ? static_cast<std::uint64_t>(status.st_size) : 0, {}));
}

void Push::start(std::string_view body) {
  BodyReader reader(body);
  path_ = reader.name();
  size_ = reader.number<std::uint64_t>();
  offset_ = reader.number<std::uint64_t>();
  sha256_ = reader.text();
  mode_ = reader.number<std::uint32_t>() & 07777;
  user_ = reader.number<std::uint32_t>();
  group_ = reader.number<std::uint32_t>();
  flags_ = reader.number<std::uint32_t>();
  time_ns_ = reader.number<std::int64_t>();
  const std::string target(reader.at_end() ? std::string_view{} : reader.name());
  if (!reader.ok() || !is_well_formed()) {
    refuse("the request to write a file is malformed", EINVAL);
  } else if ((flags_ & kMakeDirectories) != 0 && !make_directories()) {
    return;
  } else if ((flags_ & kDirectory) != 0) {
    make_directory();
  } else if (is_directory(path_) && (flags_ & kLink) == 0) {
    fail("write", path_, EISDIR);
  } else if ((flags_ & kLink) != 0) {
    make_link(target);
  } else {
    open_partial();
  }
}

bool Push::is_well_formed() const {
  const bool is_file = (flags_ & (kDirectory | kLink)) == 0;
  return path_.size() > 1 && path_.starts_with('/') && !path_.ends_with('/') && offset_ <= size_ &&
         sha256_.size() == (is_file ? kDigestSize : 0) && (is_file || size_ == 0);
}

bool Push::make_directories() {
  for (std::size_t slash = path_.find('/', 1); slash != std::string::npos;
       slash = path_.find('/', slash + 1)) {
    const std::string directory = path_.substr(0, slash);
    if (::mkdir(directory.c_str(), 0755) != 0) {
      const int error = errno;
      if (!is_directory(directory)) {
        fail("make the directory", directory, error == EEXIST ? ENOTDIR : error);
        return false;
      }
    }
  }
  return true;
}

void Push::make_directory() {
  if (::mkdir(path_.c_str(), 0700) != 0 && errno != EEXIST) {
    fail("make the directory", path_, errno);
    return;
  }
  file_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file_ < 0 || !set_attributes()) {
    fail("make the directory", path_, errno);
    return;
  }
  finish(FrameType::kDone, 0, done_body(0, {}));
}

void Push::make_link(const std::string& target) {
  const std::string made = partial_path(path_, "link");
  ::unlink(made.c_str());
  if (::symlink(target.c_str(), made.c_str()) != 0) {
    fail("make the link", path_, errno);
    return;
  }
  if (::lchown(made.c_str(), user_, group_) != 0 || ::rename(made.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    ::unlink(made.c_str());
    fail("make the link", path_, error);
    return;
  }
  finish(FrameType::kDone, 0, done_body(0, {}));
}

bool Push::open_partial() {
  partial_ = partial_path(path_, sha256_);
  const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  int file = ::open(partial_.c_str(), flags | (offset_ == 0 ? O_CREAT : 0), 0600);
  if (offset_ == 0 && (file < 0 || !is_own(file))) {
    ::close(file);
    ::unlink(partial_.c_str());
    file = ::open(partial_.c_str(), flags | O_CREAT | O_EXCL, 0600);
  }
  if (file < 0) {
    offset_ != 0 && errno == ENOENT
        ? refuse("nothing of '" + path_ + "' is there to go on with", EINVAL)
        : fail("write", path_, errno);
    return false;
  }
  struct stat status {};
  if (::flock(file, LOCK_EX | LOCK_NB) != 0) {
    refuse("'" + path_ + "' is being written by another push", EBUSY);
  } else if (!is_own(file) || ::fstat(file, &status) != 0 ||
             static_cast<std::uint64_t>(status.st_size) < offset_) {
    refuse("less of '" + path_ + "' is there than the offset says", EINVAL);
  } else if (::ftruncate(file, static_cast<off_t>(offset_)) != 0 ||
             ::lseek(file, static_cast<off_t>(offset_), SEEK_SET) < 0) {
    fail("write", path_, errno);
  }
  if (is_over()) {
    ::close(file);
    return false;
  }
  file_ = file;
  done_ = offset_;
  return true;
}

void Push::take(const FrameHeader& header, std::string_view body) {
  if (checking_) {
    return;
  }
  if (header.type == FrameType::kData) {
    write(body);
  } else if (header.type == FrameType::kEndOfData) {
    complete();
  }
}

void Push::write(std::string_view bytes) {
  if (bytes.size() > size_ - done_) {
    refuse("more of '" + path_ + "' came than its size says", EINVAL);
    return;
  }
  const std::size_t size = bytes.size();
  if (offset_ == 0) {
    digest_.add(bytes);
  }
  while (!bytes.empty()) {
    const ssize_t count = ::write(file_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      const int error = errno;
      if (error == ENOSPC || error == EDQUOT || error == ENOMEM) {
        ::unlink(partial_.c_str());
      }
      fail("write", path_, error);
      return;
    }
    done_ += static_cast<std::size_t>(count);
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  written_ += static_cast<std::uint32_t>(size);
  if (written_ >= kCreditStep) {
    send(FrameType::kCredit, std::exchange(written_, 0));
  }
}

void Push::complete() {
  if (done_ != size_) {
    refuse("less of '" + path_ + "' came than its size says", EINVAL);
  } else if (offset_ == 0) {
    conclude(digest_.finish());
  } else {
    checking_ = true;
    done_ = 0;
  }
}

void Push::work() {
  static const std::unique_ptr<char[]> buffer(new char[kLargestBody]);
  const ssize_t count = ::pread(file_, buffer.get(), kLargestBody, static_cast<off_t>(done_));
  if (count < 0 && errno != EINTR) {
    fail("read", path_, errno);
  } else if (count > 0) {
    digest_.add({buffer.get(), static_cast<std::size_t>(count)});
    done_ += static_cast<std::size_t>(count);
  } else if (count == 0) {
    conclude(digest_.finish());
  }
}

void Push::conclude(const std::string& digest) {
  if (digest != sha256_) {
    ::unlink(partial_.c_str());
    refuse("the checksum of '" + path_ + "' is wrong: its contents did not arrive as they were",
           EBADMSG);
  } else if (settle()) {
    finish(FrameType::kDone, 0, done_body(size_, sha256_));
  } else {
    fail("write", path_, errno);
  }
}

// Of the file or directory that is open. The mode comes last: a new owner clears bits of it.
bool Push::set_attributes() const {
  if (::fchown(file_, user_, group_) != 0 || ::fchmod(file_, mode_) != 0) {
    return false;
  }
  if ((flags_ & kSetTime) == 0) {
    return true;
  }
  std::int64_t seconds = time_ns_ / 1'000'000'000;
  std::int64_t rest = time_ns_ % 1'000'000'000;
  if (rest < 0) {
    rest += 1'000'000'000;
    --seconds;
  }
  const timespec time{.tv_sec = seconds, .tv_nsec = rest};
  const timespec times[2] = {time, time};
  return ::futimens(file_, times) == 0;
}

// Puts the complete file in its place, so that it is there whole or not at all.
bool Push::settle() {
  if (::fsync(file_) != 0 || !set_attributes() || ::rename(partial_.c_str(), path_.c_str()) != 0) {
    return false;
  }
  const int directory = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = directory >= 0 && (::fsync(directory) == 0 || errno == EINVAL);
  const int error = errno;
  ::close(directory);
  errno = error;
  return synced;
}

}  // namespace ensemble::agent
