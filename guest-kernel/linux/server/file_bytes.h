#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "guest-kernel/linux/server/node.h"
#include "guest-kernel/linux/server/reference.h"
#include "guest-kernel/linux/server/result.h"

namespace linux_server {

// The start of a regular file in one piece, as reading a program's headers wants it: all of it, in
// place, where it is the root archive's, else a copy.
class FileBytes {
 public:
  // What a copy has at most.
  static constexpr std::uint64_t kMaximumCopy = 64 * 1024;

  // EACCES: no regular file. ENOMEM.
  static Result<FileBytes> of(Node& node);

  std::span<const std::byte> bytes() const { return bytes_; }
  // Of the file.
  std::uint64_t size() const { return size_; }
  bool is_whole() const { return bytes_.size() == size_; }

 private:
  struct Copy : Counted {
    ~Copy() override;
    std::uint64_t offset = 0;  // in the memory pool
    std::uint64_t size = 0;
  };

  Reference<Copy> copy_;
  std::span<const std::byte> bytes_;
  std::uint64_t size_ = 0;
};

}  // namespace linux_server
