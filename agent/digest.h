#pragma once

#include <nettle/sha2.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/protocol.h"

namespace ensemble::agent {

// SHA-256 of bytes that come in pieces.
class Digest {
 public:
  Digest() { sha256_init(&context_); }

  void add(std::string_view bytes) {
    sha256_update(&context_, bytes.size(), reinterpret_cast<const std::uint8_t*>(bytes.data()));
  }

  // Of all that was added; begins anew.
  std::string finish() {
    std::string digest(kDigestSize, '\0');
    sha256_digest(&context_, digest.size(), reinterpret_cast<std::uint8_t*>(digest.data()));
    return digest;
  }

 private:
  sha256_ctx context_;
};

}  // namespace ensemble::agent
