#include "vmm/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace ensemble::vmm {

Result<InputFile> InputFile::open(std::string what, const std::string& path) {
  std::string label = fmt::format("{} {}", what, path);
  // Not blocking, so that a FIFO is refused below rather than waited for.
  FileDescriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!descriptor) {
    return std::unexpected(Error::from_errno("cannot open " + label, errno));
  }
  struct stat status = {};
  if (::fstat(descriptor.get(), &status) != 0) {
    return std::unexpected(Error::from_errno("cannot inspect " + label, errno));
  }
  if (!S_ISREG(status.st_mode)) {
    return fail("{} is no regular file", label);
  }
  return InputFile(std::move(descriptor), static_cast<uint64_t>(status.st_size), std::move(label));
}

Result<void> InputFile::read(std::span<std::byte> target) const {
  size_t done = 0;
  while (done < target.size()) {
    const ssize_t count =
        ::pread(fd(), target.data() + done, target.size() - done, static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return std::unexpected(Error::from_errno("cannot read " + label_, errno));
    }
    if (count == 0) {
      return fail("{} became shorter while it was read", label_);
    }
    done += static_cast<size_t>(count);
  }
  return {};
}

Result<std::vector<std::byte>> InputFile::read_all(uint64_t limit) const {
  if (size_ > limit) {
    return fail("{} has {} bytes, more than the {} that are possible", label_, size_, limit);
  }
  std::vector<std::byte> contents(size_);
  if (auto done = read(contents); !done) {
    return std::unexpected(done.error());
  }
  return contents;
}

}  // namespace ensemble::vmm
