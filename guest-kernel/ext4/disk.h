#pragma once

#include <cstdint>

namespace ext4 {

// What a file system lies on: bytes, addressed in whole sectors of 512 bytes. Methods return 0 or
// an errno.
class Disk {
 public:
  static constexpr std::uint64_t kSector = 512;

  virtual int read(std::uint64_t offset, void* to, std::uint64_t size) = 0;
  virtual int write(std::uint64_t offset, const void* from, std::uint64_t size) = 0;
  // All that was written before outlives a power cut.
  virtual int flush() = 0;
  // A disk that writes later than it is told to fails altogether from the first write or flush on
  // that has failed, whoever is told of it, until this: for who then writes anew what was to be
  // there.
  virtual void forget_failure() {}
  // In bytes.
  virtual std::uint64_t size() const = 0;
  virtual bool is_read_only() const = 0;

 protected:
  ~Disk() = default;
};

}  // namespace ext4
