#include "guest-kernel/linux/server/files/host_port.h"

#include <asm/fcntl.h>

#include <algorithm>

#include "guest-kernel/lib/system_call.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

constinit HostPort the_port;

class HostPortFile : public File {
 public:
  using File::File;
  ~HostPortFile() override { the_port.close(); }

  bool is_seekable() const override { return false; }
  WaitQueue* changes() override { return &the_port.changed(); }

  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) override {
    std::uint64_t done = 0;
    while (done < buffer.size()) {
      const std::span<const std::byte> input = the_port.input();
      if (input.empty()) {
        break;
      }
      const std::int64_t count = buffer.fill(input, done);
      if (count <= 0) {
        return done != 0 ? static_cast<std::int64_t>(done) : -EFAULT;
      }
      the_port.consume(static_cast<std::size_t>(count));
      done += static_cast<std::uint64_t>(count);
    }
    the_port.notify_driver();
    return done != 0 || buffer.size() == 0 || !the_port.is_connected()
               ? static_cast<std::int64_t>(done)
               : wait(task);
  }

  // A part that fits is written, as on Linux, and the rest left to the caller.
  std::int64_t write(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) override {
    if (buffer.size() == 0) {
      return 0;
    }
    std::uint64_t done = 0;
    while (done < buffer.size() && can_write()) {
      const std::span<std::byte> piece = buffer.piece(done, Access::kRead);
      if (piece.empty()) {
        return finish(done, -EFAULT);
      }
      done += the_port.write(piece);
    }
    return done != 0 ? finish(done, 0) : wait(task);
  }

  std::int64_t write_bytes(Task& task, std::span<const std::byte> bytes) override {
    return bytes.empty() || can_write() ? finish(the_port.write(bytes), 0) : wait(task);
  }

  std::uint32_t readiness() const override {
    std::uint32_t ready = 0;
    const bool connected = the_port.is_connected();
    if (may_read() && (!the_port.input().empty() || !connected)) {
      ready |= kReadable;
    }
    if (may_write() && can_write()) {
      ready |= kWritable;
    }
    return connected ? ready : ready | kHangUp;
  }

 private:
  static bool can_write() { return the_port.is_connected() && the_port.has_room(); }

  std::int64_t wait(Task& task) {
    return (flags() & O_NONBLOCK) != 0 ? -EAGAIN : task.wait(the_port.changed());
  }

  static std::int64_t finish(std::uint64_t done, std::int64_t error) {
    the_port.notify_driver();
    return done != 0 ? static_cast<std::int64_t>(done) : error;
  }
};

}  // namespace

HostPort& host_port() {
  return the_port;
}

void HostPort::attach(const guest::Resource& port) {
  auto* const memory = reinterpret_cast<std::byte*>(port.address);
  shared_ = reinterpret_cast<guest::PortShared*>(memory);
  buffers_ = memory + guest::kPortInputOffset;
  driver_ = port.slot;
  output_.emplace(shared_->output,
                  std::span(memory + guest::kPortOutputOffset, guest::kPortOutputSize));
}

Result<void> HostPort::open() {
  if (shared_ == nullptr) {
    return fail(ENODEV);
  }
  if (is_open_) {
    return fail(EBUSY);
  }
  is_open_ = true;
  shared_->client_open.store(++client_changes_, std::memory_order_seq_cst);
  guest::signal(driver_);
  return {};
}

void HostPort::close() {
  const std::uint32_t changes = shared_->host_open.load(std::memory_order_seq_cst);
  settle();
  if (guest::is_open(changes)) {
    stale_changes_ = changes;
  }
  is_open_ = false;
  shared_->client_open.store(++client_changes_, std::memory_order_seq_cst);
  guest::signal(driver_);
}

// Buffers to read, 0 if the driver's counter makes no sense.
std::uint32_t HostPort::filled_buffers() const {
  const std::uint32_t count = shared_->filled.load(std::memory_order_seq_cst) - emptied_;
  return count > guest::kPortInputBuffers ? 0 : count;
}

void HostPort::store_emptied(std::uint32_t emptied) {
  emptied_ = emptied;
  taken_ = 0;
  shared_->emptied.store(emptied, std::memory_order_seq_cst);
}

// Once the connection of the opening before this one has ended, what is left of it is dropped.
void HostPort::settle() {
  if (stale_changes_ == 0 || shared_->host_open.load(std::memory_order_seq_cst) == stale_changes_) {
    return;
  }
  stale_changes_ = 0;
  const std::uint32_t end = shared_->filled_at_close.load(std::memory_order_relaxed);
  if (end - emptied_ <= filled_buffers()) {
    store_emptied(end);
  }
}

bool HostPort::is_connected() {
  settle();
  return stale_changes_ == 0 && guest::is_open(shared_->host_open.load(std::memory_order_seq_cst));
}

std::span<const std::byte> HostPort::input() {
  settle();
  while (stale_changes_ == 0) {
    if (filled_buffers() == 0) {
      shared_->client_wait.store(1, std::memory_order_seq_cst);
      if (filled_buffers() == 0) {
        break;
      }
      shared_->client_wait.store(0, std::memory_order_relaxed);
    }
    const std::uint32_t index = emptied_ % guest::kPortInputBuffers;
    const std::size_t size = std::min<std::size_t>(
        shared_->sizes[index].load(std::memory_order_relaxed), guest::kPortInputBufferSize);
    if (taken_ < size) {
      return {buffers_ + index * guest::kPortInputBufferSize + taken_, size - taken_};
    }
    store_emptied(emptied_ + 1);
  }
  return {};
}

void HostPort::consume(std::size_t count) {
  taken_ += count;
}

bool HostPort::has_room() {
  return output_->room() != 0 || !output_->wait_for_room();
}

void HostPort::notify_driver() {
  // Both are asked: each clears its own flag.
  const bool output = output_->consumer_waits();
  const bool input = filled_buffers() <= guest::kPortInputBuffers / 2 &&
                     shared_->driver_wait.load(std::memory_order_seq_cst) != 0 &&
                     shared_->driver_wait.exchange(0, std::memory_order_seq_cst) != 0;
  if (output || input) {
    guest::signal(driver_);
  }
}

bool add_host_port(Directory& devices) {
  if (server().info().find(guest::Role::kPort) == nullptr) {
    return true;
  }
  NewNode port;
  port.mode = kCharacterDevice | 0600;
  port.device_number = kHostPortDevice;
  NewNode folder;
  folder.mode = kDirectory | 0755;
  NewNode link;
  link.mode = kSymbolicLink | 0777;
  link.target = "../vport1p1";
  const auto made = devices.create("virtio-ports", folder);
  return made && (*made)->create("org.ensemble.agent", link) && devices.create("vport1p1", port);
}

Result<Reference<File>> open_host_port(Node& node, std::uint32_t flags) {
  if (!the_port.is_attached()) {
    const guest::Resource* const port = server().late_resource(guest::Role::kPort);
    if (port != nullptr && port->address != 0 && port->size >= guest::kPortSharedSize) {
      the_port.attach(*port);
    }
  }
  if (const auto opened = the_port.open(); !opened) {
    return std::unexpected(opened.error());
  }
  auto* const file = new HostPortFile(node, flags);
  if (file == nullptr) {
    the_port.close();
    return fail(ENOMEM);
  }
  return Reference<File>(file);
}

}  // namespace linux_server
