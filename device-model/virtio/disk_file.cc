#include "device-model/virtio/disk_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace ensemble::device {
namespace {

// How much is moved between two looks at whether the transfer was cancelled.
constexpr std::size_t kStepBytes = 1 << 20;
constexpr std::size_t kStepBuffers = 64;

// The next step of a transfer: at most kStepBuffers buffers and kStepBytes bytes.
class Steps {
 public:
  explicit Steps(std::span<const iovec> buffers) : buffers_(buffers) {}

  std::span<const iovec> next() {
    std::size_t bytes = 0;
    std::size_t count = 0;
    for (const iovec& buffer : buffers_) {
      const std::size_t skip = count == 0 ? skip_ : 0;
      if (count == kStepBuffers || bytes == kStepBytes) {
        break;
      }
      const std::size_t size = std::min(buffer.iov_len - skip, kStepBytes - bytes);
      step_[count++] = {.iov_base = static_cast<char*>(buffer.iov_base) + skip, .iov_len = size};
      bytes += size;
    }
    return std::span(step_).first(count);
  }

  void advance(std::size_t bytes) {
    skip_ += bytes;
    while (!buffers_.empty() && skip_ >= buffers_.front().iov_len) {
      skip_ -= buffers_.front().iov_len;
      buffers_ = buffers_.subspan(1);
    }
  }

 private:
  std::span<const iovec> buffers_;
  std::size_t skip_ = 0;  // Bytes of the first buffer that are done.
  std::array<iovec, kStepBuffers> step_;
};

// Runs `move` (preadv, pwritev) until all of `buffers` is done.
template <typename Move>
Result<void> transfer(const char* what, std::uint64_t offset, std::span<const iovec> buffers,
                      const std::atomic<bool>& cancelled, Move move) {
  Steps steps(buffers);
  for (auto step = steps.next(); !step.empty(); step = steps.next()) {
    if (cancelled.load(std::memory_order_relaxed)) {
      return fail("cannot {} the disk: cancelled", what);
    }
    const ssize_t moved =
        move(step.data(), static_cast<int>(step.size()), static_cast<off_t>(offset));
    if (moved < 0 && errno == EINTR) {
      continue;
    }
    if (moved < 0) {
      return std::unexpected(Error::from_errno(fmt::format("cannot {} the disk", what), errno));
    }
    if (moved == 0) {
      return fail("cannot {} the disk: its file has become shorter", what);
    }
    steps.advance(static_cast<std::size_t>(moved));
    offset += static_cast<std::uint64_t>(moved);
  }
  return {};
}

Result<std::uint64_t> size_of(int file, const struct stat& status, const std::string& path) {
  if (S_ISREG(status.st_mode)) {
    return static_cast<std::uint64_t>(status.st_size);
  }
  if (!S_ISBLK(status.st_mode)) {
    return fail("cannot use disk {}: it is neither a file nor a block device", path);
  }
  std::uint64_t size = 0;
  if (::ioctl(file, BLKGETSIZE64, &size) != 0) {
    return std::unexpected(Error::from_errno("cannot read the size of disk " + path, errno));
  }
  return size;
}

// fallocate(2), with the range kept inside the file by the caller.
Result<void> allocate(int file, int mode, std::uint64_t offset, std::uint64_t size) {
  while (::fallocate(file, mode, static_cast<off_t>(offset), static_cast<off_t>(size)) != 0) {
    if (errno != EINTR) {
      return std::unexpected(Error::from_errno("cannot change a range of the disk", errno));
    }
  }
  return {};
}

}  // namespace

Result<DiskFile> DiskFile::open(const std::string& path, bool read_only) {
  // O_NONBLOCK: opening a pipe by mistake must not wait for its other end.
  vmm::FileDescriptor file(
      ::open(path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK));
  struct stat status = {};
  if (!file || ::fstat(file.get(), &status) != 0) {
    return std::unexpected(Error::from_errno("cannot open disk " + path, errno));
  }
  const Result<std::uint64_t> size = size_of(file.get(), status, path);
  if (!size) {
    return std::unexpected(size.error());
  }
  if (*size == 0 || *size % kSectorBytes != 0) {
    return fail("cannot use disk {}: it has {} bytes; expected a multiple of {}, at least one",
                path, *size, kSectorBytes);
  }
  if (::flock(file.get(), (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return fail("cannot use disk {}: another device uses it", path);
    }
    return std::unexpected(Error::from_errno("cannot lock disk " + path, errno));
  }
  return DiskFile(std::move(file), *size / kSectorBytes, read_only);
}

Result<void> DiskFile::read(std::uint64_t offset, std::span<const iovec> buffers,
                            const std::atomic<bool>& cancelled) const {
  return transfer("read", offset, buffers, cancelled,
                  [this](const iovec* vector, int count, off_t position) {
                    return ::preadv(file_.get(), vector, count, position);
                  });
}

Result<void> DiskFile::write(std::uint64_t offset, std::span<const iovec> buffers,
                             const std::atomic<bool>& cancelled) const {
  return transfer("write", offset, buffers, cancelled,
                  [this](const iovec* vector, int count, off_t position) {
                    return ::pwritev(file_.get(), vector, count, position);
                  });
}

Result<void> DiskFile::flush() const {
  if (::fdatasync(file_.get()) != 0) {
    return std::unexpected(Error::from_errno("cannot flush the disk", errno));
  }
  return {};
}

Result<void> DiskFile::discard(std::uint64_t offset, std::uint64_t size) const {
  Result<void> done = punch_hole(offset, size);
  return !done && done.error().error_number() == EOPNOTSUPP ? Result<void>() : done;
}

Result<void> DiskFile::punch_hole(std::uint64_t offset, std::uint64_t size) const {
  return allocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size);
}

Result<void> DiskFile::write_zeroes(std::uint64_t offset, std::uint64_t size,
                                    bool may_discard) const {
  if (may_discard && punch_hole(offset, size)) {
    return {};
  }
  if (allocate(file_.get(), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, size)) {
    return {};
  }
  // Not every file system can do it; writing always works.
  static const std::array<std::byte, 64 * 1024> kZeroes{};
  while (size > 0) {
    const std::size_t piece = std::min<std::uint64_t>(size, kZeroes.size());
    const ssize_t written =
        ::pwrite(file_.get(), kZeroes.data(), piece, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      return std::unexpected(Error::from_errno("cannot write zeroes to the disk", errno));
    }
    offset += static_cast<std::uint64_t>(written);
    size -= static_cast<std::uint64_t>(written);
  }
  return {};
}

}  // namespace ensemble::device
