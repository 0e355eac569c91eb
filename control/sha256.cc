#include "control/sha256.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <nettle/sha2.h>
#include <unistd.h>

#include <cerrno>

#include "vmm/file_descriptor.h"

namespace ensemble::control {

static_assert(std::tuple_size_v<Sha256Digest> == SHA256_DIGEST_SIZE);

struct Sha256::State {
  sha256_ctx context;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  ::sha256_init(&state_->context);
}

Sha256::~Sha256() = default;

void Sha256::add(std::string_view bytes) {
  ::sha256_update(&state_->context, bytes.size(),
                  reinterpret_cast<const std::uint8_t*>(bytes.data()));
}

Sha256Digest Sha256::finish() {
  Sha256Digest digest;
  ::sha256_digest(&state_->context, digest.size(), digest.data());
  return digest;
}

Sha256Digest sha256_of(std::string_view bytes) {
  Sha256 sum;
  sum.add(bytes);
  return sum.finish();
}

std::string to_hexadecimal(const Sha256Digest& digest) {
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

Result<std::string> file_sha256(const std::string& path) {
  const vmm::FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    return std::unexpected(Error::from_errno("cannot open '" + path + "'", errno));
  }
  Sha256 sum;
  std::string chunk(65536, '\0');
  for (;;) {
    const ssize_t count = ::read(file.get(), chunk.data(), chunk.size());
    if (count == 0) {
      return to_hexadecimal(sum.finish());
    }
    if (count > 0) {
      sum.add(std::string_view(chunk.data(), static_cast<std::size_t>(count)));
    } else if (errno != EINTR) {
      return std::unexpected(Error::from_errno("cannot read '" + path + "'", errno));
    }
  }
}

}  // namespace ensemble::control
