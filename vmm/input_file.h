#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vmm/error.h"
#include "vmm/file_descriptor.h"

namespace ensemble::vmm {

// A regular file of the user's, open for reading. Errors name the path.
class InputFile {
 public:
  // `what` says what the file is for: "kernel", "module root".
  static Result<InputFile> open(std::string what, const std::string& path);

  int fd() const { return descriptor_.get(); }
  uint64_t size() const { return size_; }
  // "kernel FILE", for errors.
  const std::string& label() const { return label_; }

  // Fills `target`, which is no larger than the file, from its start.
  Result<void> read(std::span<std::byte> target) const;

  // The whole file, which may have `limit` bytes at most.
  Result<std::vector<std::byte>> read_all(uint64_t limit) const;

 private:
  InputFile(FileDescriptor descriptor, uint64_t size, std::string label)
      : descriptor_(std::move(descriptor)), size_(size), label_(std::move(label)) {}

  FileDescriptor descriptor_;
  uint64_t size_ = 0;
  std::string label_;
};

}  // namespace ensemble::vmm
