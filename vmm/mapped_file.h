#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "vmm/error.h"
#include "vmm/file_descriptor.h"

namespace ensemble::vmm {

// A file mapped for reading only; its pages are the host's page cache, shared by all who map it.
//
// Somebody may cut the file off, or its disk may fail, while it is mapped: a read of what is not
// there then raises SIGBUS, be it the VMM's or, by KVM, a vCPU's. The first such signal of a
// process that maps files is answered by putting zeros in place of the whole file, so that the read
// ends, and by signalling `loss_event`, whose reader ends whatever relied on the contents.
class MappedFile {
 public:
  // Maps the first `file_size` bytes of `fd`, which is not 0, and may be closed afterwards. The
  // rest of the last page reads as zero. `name` is for errors. `loss_event` is an eventfd that
  // outlives this.
  static Result<MappedFile> map(std::string name, int fd, uint64_t file_size, int loss_event);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  const std::string& name() const { return name_; }
  std::byte* data() const { return data_; }
  // Of the mapping: a multiple of the page size.
  uint64_t size() const { return size_; }

  // Whether the file's contents have been found missing, or the file is shorter than it was.
  bool lost() const;

 private:
  MappedFile() = default;

  std::string name_;
  FileDescriptor file_;
  uint64_t file_size_ = 0;
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
  size_t place_ = 0;  // In the table that the signal handler reads.
};

}  // namespace ensemble::vmm
