#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "control/cli/copied_files.h"
#include "control/cli/copy_command.h"
#include "control/cli/signals.h"
#include "control/printable.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kPiece = std::size_t{1} << 20;
constexpr std::size_t kMostOfName = 200;
constexpr int kMostTimes = 10;
// What a device says of a file does not make it a set-user-ID program here.
constexpr std::uint32_t kPermissions = 0777;

std::unexpected<Error> failed_to(const char* what, const std::string& path) {
  return std::unexpected(Error::from_errno(fmt::format("cannot {} '{}'", what, path), errno));
}

// One that a device cannot lead out of the directory by.
bool is_plain(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string::npos;
}

// Beside `place`. It is known by where its contents come from: no other file of the device has that
// name but on purpose.
std::string partial_path(const std::string& place, const std::string& device,
                         const std::string& path) {
  const Sha256Digest digest = sha256_of(device + ":" + path);
  std::uint64_t bits = 0;
  std::memcpy(&bits, digest.data(), sizeof bits);
  const std::string name =
      fmt::format(".{}.{:016x}.part", last_part(place).substr(0, kMostOfName), bits);
  return (fs::path(place).parent_path() / name).string();
}

// A file of this host that is being written beside its place.
class PartialFile {
 public:
  PartialFile(const std::string& place, const std::string& device, const std::string& path)
      : place_(place), path_(partial_path(place, device, path)) {}

  // What is there already is kept, and counts, when it is to go on.
  Result<void> open(bool resume) {
    if (auto locked = lock(); !locked) {
      return locked;
    }
    if (!resume && ::ftruncate(file_.get(), 0) != 0) {
      return failed_to("write", path_);
    }
    std::string piece(kPiece, '\0');
    ssize_t count = 0;
    while ((count = ::read(file_.get(), piece.data(), piece.size())) > 0) {
      sum_.add(std::string_view(piece).substr(0, static_cast<std::size_t>(count)));
      size_ += static_cast<std::uint64_t>(count);
    }
    return count == 0 ? Result<void>() : failed_to("read", path_);
  }

  Result<void> write(std::string_view bytes) {
    if (!write_all(file_.get(), bytes)) {
      return failed_to("write", path_);
    }
    sum_.add(bytes);
    size_ += bytes.size();
    return {};
  }

  // Puts the file in its place if its contents are right, whose digest it gives; else nothing of it
  // stays.
  Result<Sha256Digest> finish(const v1::FileEntry& entry, const v1::PullResponse::End& end) {
    const Sha256Digest digest = sum_.finish();
    if (size_ != end.size() || bytes_of(digest) != end.sha256()) {
      ::unlink(path_.c_str());
      return fail("the checksum of '{}' is wrong: it did not arrive as it was", place_);
    }
    const timespec time{.tv_sec = entry.modification_time().seconds(),
                        .tv_nsec = entry.modification_time().nanos()};
    const timespec times[2] = {time, time};
    if (::fchmod(file_.get(), entry.mode() & kPermissions) != 0 ||
        ::futimens(file_.get(), times) != 0 || ::rename(path_.c_str(), place_.c_str()) != 0) {
      return failed_to("write", place_);
    }
    return digest;
  }

  void remove() const { ::unlink(path_.c_str()); }
  std::uint64_t size() const { return size_; }

 private:
  // Opens the file for this process alone.
  Result<void> lock() {
    constexpr int kFlags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    // Another pull moves or removes the file when it is done with it.
    for (int times = 0; times < kMostTimes; ++times) {
      file_ = vmm::FileDescriptor(::open(path_.c_str(), kFlags, 0600));
      struct stat status {};
      struct stat there {};
      if (!file_ || ::fstat(file_.get(), &status) != 0 || !is_own(status)) {
        // Not one that was left by a pull.
        if (::unlink(path_.c_str()) != 0 && errno != ENOENT) {
          return failed_to("write", path_);
        }
        file_ = vmm::FileDescriptor(::open(path_.c_str(), kFlags | O_EXCL, 0600));
        if (!file_ || ::fstat(file_.get(), &status) != 0) {
          return failed_to("write", path_);
        }
      }
      if (::flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? fail("'{}' is being written by another pull", place_)
                                    : failed_to("lock", path_);
      }
      if (::lstat(path_.c_str(), &there) == 0 && there.st_dev == status.st_dev &&
          there.st_ino == status.st_ino) {
        return {};
      }
    }
    return fail("'{}' is being written by another pull", place_);
  }

  static bool is_own(const struct stat& status) {
    return S_ISREG(status.st_mode) && status.st_uid == ::geteuid() && status.st_nlink == 1;
  }

  const std::string place_;
  const std::string path_;
  vmm::FileDescriptor file_;
  Sha256 sum_;
  std::uint64_t size_ = 0;
};

class Pull {
 public:
  Pull(Client& client, const CopyOptions& options) : client_(client), options_(options) {}

  Result<void> run() {
    const std::string& target = options_.places.back();
    std::error_code ignored;
    const bool into_directory =
        options_.places.size() > 2 || target.ends_with('/') || fs::is_directory(target, ignored);
    for (std::size_t i = 0; i + 1 < options_.places.size(); ++i) {
      const auto source = parse_device_path(options_.places[i]);
      if (!source) {
        return std::unexpected(source.error());
      }
      auto device = client_.get("devices/" + source->device);
      if (!device) {
        return std::unexpected(device.error());
      }
      device_ = device->name();
      const std::string name = last_part(source->path);
      const std::string place =
          into_directory && is_plain(name) ? (fs::path(target) / name).string() : target;
      if (auto copied = copy(source->path, place); !copied) {
        return copied;
      }
    }
    return make_links();
  }

  const std::vector<CopiedFile>& copied() const { return copied_; }

 private:
  Result<void> copy(const std::string& path, const std::string& place) {
    const auto entry = client_.stat_file(device_, path);
    if (!entry) {
      return std::unexpected(entry.error());
    }
    if (entry->type() != v1::FILE_TYPE_DIRECTORY) {
      return copy_file(path, place);
    }
    if (!options_.recursive) {
      return fail("'{}' is a directory; -r copies it with what is in it", path);
    }
    return copy_tree(path, place);
  }

  Result<void> copy_tree(const std::string& path, const std::string& place) {
    // A link that is there already might lead anywhere.
    struct stat status {};
    if (::mkdir(place.c_str(), 0777) != 0 &&
        (errno != EEXIST || ::lstat(place.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))) {
      return failed_to("make the directory", place);
    }
    const auto entries = client_.list_files(device_, path);
    if (!entries) {
      return std::unexpected(entries.error());
    }
    for (const v1::FileEntry& entry : *entries) {
      if (!is_plain(entry.name())) {
        return fail("the device names a file '{}', which no file is called", entry.name());
      }
      const std::string inner = (path.ends_with('/') ? path : path + "/") + entry.name();
      const std::string inner_place = (fs::path(place) / entry.name()).string();
      Result<void> done;
      switch (entry.type()) {
        case v1::FILE_TYPE_REGULAR:
          done = copy_file(inner, inner_place);
          break;
        case v1::FILE_TYPE_DIRECTORY:
          done = copy_tree(inner, inner_place);
          break;
        case v1::FILE_TYPE_SYMBOLIC_LINK:
          links_.emplace_back(entry.target(), inner_place);
          break;
        default:
          leave_out(inner);
          break;
      }
      if (!done) {
        return done;
      }
    }
    return {};
  }

  // Last, so that nothing is written through them.
  Result<void> make_links() {
    for (const auto& [target, place] : links_) {
      struct stat status {};
      if (::lstat(place.c_str(), &status) == 0 && S_ISLNK(status.st_mode)) {
        ::unlink(place.c_str());
      }
      if (::symlink(target.c_str(), place.c_str()) != 0) {
        return failed_to("make the link", place);
      }
    }
    return {};
  }

  Result<void> copy_file(const std::string& path, const std::string& place) {
    const auto start = Clock::now();
    PartialFile file(place, device_, path);
    auto opened = file.open(options_.resume);
    if (!opened) {
      return opened;
    }
    const std::uint64_t first = file.size();
    v1::PullRequest request;
    request.set_name(device_);
    request.set_path(path);
    request.set_offset(first);
    v1::FileEntry entry;
    std::optional<v1::PullResponse::End> end;
    std::unique_ptr<Progress> progress;
    Result<void> written;
    auto pulled = client_.pull(request, [&](const v1::PullResponse& response) {
      if (response.has_entry()) {
        entry = response.entry();
        progress = std::make_unique<Progress>(last_part(path), entry.size(), first);
      } else if (response.has_end()) {
        end = response.end();
      } else {
        written = file.write(response.data());
        if (progress) {
          progress->advance(response.data().size());
        }
      }
      return written.has_value();
    });
    progress.reset();
    if (!written || !pulled) {
      if (file.size() == 0) {
        file.remove();
      } else if (written) {
        fmt::print(stderr, "ensemble: what has come of '{}' is kept; --resume goes on with it\n",
                   printable(path));
      }
      return written ? pulled : written;
    }
    if (!end) {
      return fail("'{}' did not arrive whole", path);
    }
    const auto digest = file.finish(entry, *end);
    if (!digest) {
      return std::unexpected(digest.error());
    }
    copied_.push_back({.device = device_,
                       .path = path,
                       .file = place,
                       .bytes = end->size(),
                       .resumed_from = first,
                       .sha256 = *digest,
                       .seconds = std::chrono::duration<double>(Clock::now() - start).count()});
    return {};
  }

  Client& client_;
  const CopyOptions& options_;
  std::string device_;
  std::vector<std::pair<std::string, std::string>> links_;
  std::vector<CopiedFile> copied_;
};

}  // namespace

int pull_files(Client& client, const CopyOptions& options) {
  Pull pull(client, options);
  const auto done = pull.run();
  return finish_copying(pull.copied(), options.json, done);
}

}  // namespace ensemble::control
