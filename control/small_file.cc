#include "control/small_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace ensemble::control {
namespace {

constexpr std::size_t kMostMiB = 16;

}  // namespace

Result<std::string> read_small_file(const std::string& path) {
  const vmm::FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    return std::unexpected(Error::from_errno("cannot open '" + path + "'", errno));
  }
  return read_small_file(file, path);
}

Result<std::string> read_small_file(const vmm::FileDescriptor& file, const std::string& path) {
  std::string content;
  std::array<char, 4096> chunk;
  while (content.size() <= kMostMiB << 20) {
    const ssize_t count = ::read(file.get(), chunk.data(), chunk.size());
    if (count == 0) {
      return content;
    }
    if (count > 0) {
      content.append(chunk.data(), static_cast<std::size_t>(count));
    } else if (errno != EINTR) {
      return std::unexpected(Error::from_errno("cannot read '" + path + "'", errno));
    }
  }
  return fail("'{}' has more than {} MiB", path, kMostMiB);
}

}  // namespace ensemble::control
