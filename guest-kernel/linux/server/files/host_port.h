#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "guest-kernel/lib/port_protocol.h"
#include "guest-kernel/lib/start_info.h"
#include "guest-kernel/linux/server/directory.h"
#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/result.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// The port to the host (port_protocol.h): a stream of bytes for one open file at a time. As a
// virtio port of Linux: without the other end, reads tell the end of input and writes wait.
class HostPort {
 public:
  // Begins to use the memory that is shared with the driver: `port`, of Role::kPort.
  void attach(const guest::Resource& port);
  bool is_attached() const { return shared_ != nullptr; }

  // ENODEV, EBUSY.
  Result<void> open();
  void close();

  // Whether the host is there, for this opening of the port.
  bool is_connected();
  // What has come and was not read yet; empty: nothing, and the driver will signal.
  std::span<const std::byte> input();
  // The first `count` bytes of it have been read.
  void consume(std::size_t count);
  // Whether anything can be written; if not, the driver will signal.
  bool has_room();
  // As much as fits; returns how much.
  std::size_t write(std::span<const std::byte> bytes) { return output_->write(bytes); }
  // After reading or writing: tells the driver what it waits for.
  void notify_driver();

  void driver_signalled() { changed_.wake(); }
  WaitQueue& changed() { return changed_; }

 private:
  std::uint32_t filled_buffers() const;
  void settle();
  void store_emptied(std::uint32_t emptied);

  guest::PortShared* shared_ = nullptr;
  const std::byte* buffers_ = nullptr;
  guest::Slot driver_ = guest::kNoSlot;
  std::optional<guest::ByteRingProducer> output_;
  std::uint32_t emptied_ = 0;  // buffers
  std::size_t taken_ = 0;      // bytes of the buffer after them
  std::uint32_t client_changes_ = 0;
  // The state of the host's end that the opening before this one had; until it changes, what comes
  // was for that one. 0: none.
  std::uint32_t stale_changes_ = 0;
  bool is_open_ = false;
  WaitQueue changed_;
};

// The one there is, if there is.
HostPort& host_port();

// /dev/vport1p1 and /dev/virtio-ports, where the machine has a port. False: no memory.
bool add_host_port(Directory& devices);
constexpr std::uint32_t kHostPortDevice = 242 << 8 | 1;
Result<Reference<File>> open_host_port(Node& node, std::uint32_t flags);

}  // namespace linux_server
