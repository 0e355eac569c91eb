#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "control/cli/copied_files.h"
#include "control/cli/copy_command.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kPiece = std::size_t{1} << 20;
constexpr std::uint32_t kPermissions = 07777;

// The next bytes of a file; none at its end.
Result<std::string> read_piece(const vmm::FileDescriptor& file, const std::string& name,
                               std::uint64_t at, std::size_t size = kPiece) {
  std::string piece(size, '\0');
  ssize_t count = 0;
  do {
    count = ::pread(file.get(), piece.data(), piece.size(), static_cast<off_t>(at));
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    return std::unexpected(Error::from_errno("cannot read '" + name + "'", errno));
  }
  piece.resize(static_cast<std::size_t>(count));
  return piece;
}

Result<Sha256Digest> digest_of(const vmm::FileDescriptor& file, const std::string& name) {
  Sha256 sum;
  for (std::uint64_t at = 0;;) {
    auto piece = read_piece(file, name, at);
    if (!piece) {
      return std::unexpected(piece.error());
    }
    if (piece->empty()) {
      return sum.finish();
    }
    sum.add(*piece);
    at += piece->size();
  }
}

class Push {
 public:
  Push(Client& client, const CopyOptions& options) : client_(client), options_(options) {}

  Result<void> run() {
    const auto target = parse_device_path(options_.places.back());
    if (!target) {
      return std::unexpected(target.error());
    }
    auto device = client_.get("devices/" + target->device);
    if (!device) {
      return std::unexpected(device.error());
    }
    device_ = device->name();
    const bool into_directory =
        options_.places.size() > 2 || target->path.ends_with('/') || is_directory(target->path);
    for (std::size_t i = 0; i + 1 < options_.places.size(); ++i) {
      const std::string& source = options_.places[i];
      const std::string path =
          into_directory ? (target->path.ends_with('/') ? target->path : target->path + "/") +
                               last_part(fs::absolute(source).lexically_normal().string())
                         : target->path;
      if (auto copied = copy(source, path); !copied) {
        return copied;
      }
    }
    return {};
  }

  const std::vector<CopiedFile>& copied() const { return copied_; }

 private:
  bool is_directory(const std::string& path) {
    const auto entry = client_.stat_file(device_, path);
    return entry && entry->type() == v1::FILE_TYPE_DIRECTORY;
  }

  Result<void> copy(const std::string& source, const std::string& path) {
    struct stat status {};
    if (::stat(source.c_str(), &status) != 0) {
      return std::unexpected(Error::from_errno("cannot read '" + source + "'", errno));
    }
    if (!S_ISDIR(status.st_mode)) {
      return copy_one(source, path, status);
    }
    if (!options_.recursive) {
      return fail("'{}' is a directory; -r copies it with what is in it", source);
    }
    return copy_tree(source, path, status);
  }

  Result<void> copy_tree(const std::string& source, const std::string& path,
                         const struct stat& status) {
    auto done = copy_one(source, path, status);
    std::error_code failed;
    std::vector<fs::path> names;
    for (fs::directory_iterator at(source, failed), end; !failed && at != end;
         at.increment(failed)) {
      names.push_back(at->path().filename());
    }
    if (failed) {
      return fail("cannot read '{}': {}", source, failed.message());
    }
    std::ranges::sort(names);
    for (const fs::path& name : names) {
      const std::string inner = (fs::path(source) / name).string();
      const std::string place = path + "/" + name.string();
      struct stat of_inner {};
      if (::lstat(inner.c_str(), &of_inner) != 0) {
        return std::unexpected(Error::from_errno("cannot read '" + inner + "'", errno));
      }
      const bool can_be_copied =
          S_ISREG(of_inner.st_mode) || S_ISDIR(of_inner.st_mode) || S_ISLNK(of_inner.st_mode);
      if (!can_be_copied) {
        leave_out(inner);
      } else if (done) {
        done = S_ISDIR(of_inner.st_mode) ? copy_tree(inner, place, of_inner)
                                         : copy_one(inner, place, of_inner);
      }
    }
    // Once more: what was made in it has changed its time.
    return done && !names.empty() ? copy_one(source, path, status) : done;
  }

  Result<void> copy_one(const std::string& source, const std::string& path,
                        const struct stat& status) {
    v1::PushRequest::Begin begin;
    begin.set_name(device_);
    begin.set_path(path);
    begin.set_mode(status.st_mode & kPermissions);
    begin.mutable_modification_time()->set_seconds(status.st_mtim.tv_sec);
    begin.mutable_modification_time()->set_nanos(static_cast<std::int32_t>(status.st_mtim.tv_nsec));
    if (S_ISREG(status.st_mode)) {
      return copy_file(source, std::move(begin));
    }
    if (S_ISDIR(status.st_mode)) {
      begin.set_type(v1::FILE_TYPE_DIRECTORY);
    } else if (S_ISLNK(status.st_mode)) {
      std::error_code failed;
      begin.set_type(v1::FILE_TYPE_SYMBOLIC_LINK);
      begin.set_target(fs::read_symlink(source, failed).string());
    } else {
      return fail("'{}' is neither a file, a directory nor a symbolic link", source);
    }
    return client_.push(begin, [] { return std::string(); });
  }

  Result<void> copy_file(const std::string& source, v1::PushRequest::Begin begin) {
    const auto start = Clock::now();
    const vmm::FileDescriptor file(::open(source.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status {};
    if (!file || ::fstat(file.get(), &status) != 0) {
      return std::unexpected(Error::from_errno("cannot read '" + source + "'", errno));
    }
    auto digest = digest_of(file, source);
    if (!digest) {
      return std::unexpected(digest.error());
    }
    begin.set_size(static_cast<std::uint64_t>(status.st_size));
    begin.set_sha256(std::string(bytes_of(*digest)));
    if (options_.resume) {
      const auto there = client_.push_state(begin);
      if (!there) {
        return std::unexpected(there.error());
      }
      begin.set_offset(std::min(*there, begin.size()));
    }
    std::uint64_t at = begin.offset();
    Progress progress(last_part(source), begin.size(), at);
    const auto next = [&]() -> Result<std::string> {
      const std::uint64_t left = begin.size() - at;
      auto piece = read_piece(file, source, at, std::min<std::uint64_t>(kPiece, left));
      if (piece) {
        at += piece->size();
        progress.advance(piece->size());
      }
      return piece;
    };
    if (auto pushed = client_.push(begin, next); !pushed) {
      return pushed;
    }
    copied_.push_back({.device = device_,
                       .path = begin.path(),
                       .file = source,
                       .bytes = begin.size(),
                       .resumed_from = begin.offset(),
                       .sha256 = *digest,
                       .seconds = std::chrono::duration<double>(Clock::now() - start).count()});
    return {};
  }

  Client& client_;
  const CopyOptions& options_;
  std::string device_;
  std::vector<CopiedFile> copied_;
};

}  // namespace

int push_files(Client& client, const CopyOptions& options) {
  Push push(client, options);
  const auto done = push.run();
  return finish_copying(push.copied(), options.json, done);
}

}  // namespace ensemble::control
