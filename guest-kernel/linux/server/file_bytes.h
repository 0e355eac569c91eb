#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "guest-kernel/linux/server/node.h"
#include "guest-kernel/linux/server/reference.h"
#include "guest-kernel/linux/server/result.h"

namespace linux_server {

// All bytes of a regular file in one piece, as reading a program's headers wants them: in place
// where they are the root archive's, else a copy.
class FileBytes {
 public:
  // EACCES: no regular file. ENOMEM: it is larger than a copy can be (2 MiB), or there is no
  // memory.
  static Result<FileBytes> of(Node& node);

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  struct Copy : Counted {
    ~Copy() override;
    std::uint64_t offset = 0;  // in the memory pool
    std::uint64_t size = 0;
  };

  Reference<Copy> copy_;
  std::span<const std::byte> bytes_;
};

}  // namespace linux_server
