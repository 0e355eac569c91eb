#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "vmm/error.h"

namespace ensemble::control {

using Sha256Digest = std::array<std::uint8_t, 32>;

// A SHA-256 of bytes that come in pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void add(std::string_view bytes);
  // Of all that was added; begins anew.
  Sha256Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Sha256Digest sha256_of(std::string_view bytes);

// Its 32 bytes, as they are sent.
inline std::string_view bytes_of(const Sha256Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

// In lower case.
std::string to_hexadecimal(const Sha256Digest& digest);

// The digest of a file's contents in hexadecimal. The Error names the file.
Result<std::string> file_sha256(const std::string& path);

}  // namespace ensemble::control
