#pragma once

#include <cstdint>
#include <span>

#include "guest-kernel/ext4/disk.h"
#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/lib/start_info.h"

namespace ext4 {

// The disk behind a block driver. Writes to places that follow one another are put together.
class GuestDisk : public Disk {
 public:
  // `block`: the driver's port and the memory shared with it.
  explicit GuestDisk(const guest::Resource& block);

  int read(std::uint64_t offset, void* to, std::uint64_t size) override;
  int write(std::uint64_t offset, const void* from, std::uint64_t size) override;
  int flush() override;
  void forget_failure() override { failed_ = 0; }
  std::uint64_t size() const override { return size_; }
  bool is_read_only() const override { return read_only_; }

 private:
  int request(guest::Message message);
  int send(guest::BlockRequest write = guest::BlockRequest::kWrite);

  guest::Slot port_;
  std::span<std::byte> shared_;
  std::uint64_t size_ = 0;
  bool read_only_ = true;
  // Waits in `shared_`.
  std::uint64_t waiting_at_ = 0;
  std::uint64_t waiting_size_ = 0;
  int failed_ = 0;  // of a write or flush
};

}  // namespace ext4
