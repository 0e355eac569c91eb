#include "control/sha256.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <nettle/sha2.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "vmm/file_descriptor.h"

namespace ensemble::control {

Result<std::string> file_sha256(const std::string& path) {
  const vmm::FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    return std::unexpected(Error::from_errno("cannot open '" + path + "'", errno));
  }
  sha256_ctx context;
  ::sha256_init(&context);
  std::vector<std::uint8_t> chunk(65536);
  for (;;) {
    const ssize_t count = ::read(file.get(), chunk.data(), chunk.size());
    if (count == 0) {
      break;
    }
    if (count > 0) {
      ::sha256_update(&context, static_cast<std::size_t>(count), chunk.data());
    } else if (errno != EINTR) {
      return std::unexpected(Error::from_errno("cannot read '" + path + "'", errno));
    }
  }
  std::array<std::uint8_t, SHA256_DIGEST_SIZE> digest;
  ::sha256_digest(&context, digest.size(), digest.data());
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

}  // namespace ensemble::control
