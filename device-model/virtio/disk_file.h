#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <span>
#include <string>

#include "vmm/error.h"
#include "vmm/file_descriptor.h"

namespace ensemble::device {

// A raw disk image, or a block device of the host, locked against a second user. Calls block; any
// thread, several at once.
class DiskFile {
 public:
  static constexpr std::uint64_t kSectorBytes = 512;

  // Opens `path`. An Error when it cannot be opened, is no file or block device, is empty or no
  // whole number of sectors, or is in use: several readers may share it, a writer may not.
  static Result<DiskFile> open(const std::string& path, bool read_only);

  std::uint64_t sectors() const { return sectors_; }
  bool read_only() const { return read_only_; }

  // Moves all bytes of `buffers` from or to the disk at byte `offset`, in steps; ends early, with
  // an Error, once `cancelled` is set.
  Result<void> read(std::uint64_t offset, std::span<const iovec> buffers,
                    const std::atomic<bool>& cancelled) const;
  Result<void> write(std::uint64_t offset, std::span<const iovec> buffers,
                     const std::atomic<bool>& cancelled) const;

  // Makes all that was written durable.
  Result<void> flush() const;

  // Gives the space of a range back to the host, where its file system can: the range reads as zero
  // then. Elsewhere all stays as it is, as a discard allows (virtio 1.2, section 5.2.6).
  Result<void> discard(std::uint64_t offset, std::uint64_t size) const;

  // Makes a range read as zero; `may_discard` allows its space to be given back.
  Result<void> write_zeroes(std::uint64_t offset, std::uint64_t size, bool may_discard) const;

 private:
  // As discard(); an Error where the file system cannot.
  Result<void> punch_hole(std::uint64_t offset, std::uint64_t size) const;

  DiskFile(vmm::FileDescriptor file, std::uint64_t sectors, bool read_only)
      : file_(std::move(file)), sectors_(sectors), read_only_(read_only) {}

  vmm::FileDescriptor file_;
  std::uint64_t sectors_;
  bool read_only_;
};

}  // namespace ensemble::device
