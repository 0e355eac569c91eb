#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/ipc/anonymous_file.h"
#include "guest-kernel/linux/server/ipc/unix_socket.h"

namespace linux_server {

// The open file of a socket.
class SocketFile : public AnonymousFile {
 public:
  SocketFile(Reference<AnonymousNode> node, std::uint32_t flags, Reference<UnixSocket> socket);
  ~SocketFile() override;

  UnixSocket& socket() { return *socket_; }

  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::int64_t write(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::int64_t write_bytes(Task& task, std::span<const std::byte> bytes) override;
  std::int64_t control(Task& task, std::uint64_t request, std::uint64_t argument) override;
  std::uint32_t readiness() const override { return socket_->readiness(); }
  WaitQueue* changes() override { return &socket_->changed(); }
  FileKind kind() const override { return FileKind::kSocket; }

  // References to this that messages hold.
  std::uint32_t in_flight = 0;

 private:
  friend void collect_lost_sockets();

  Reference<UnixSocket> socket_;
  // All open sockets are in a list.
  SocketFile* next_ = nullptr;
  SocketFile* previous_ = nullptr;
  // For the collector.
  bool is_reached_ = false;
  SocketFile* next_reached_ = nullptr;
};

// `file` as a socket's; null: it is something else.
SocketFile* as_socket(File* file);

// A socket with its open file and node; null: no memory. `flags`: O_NONBLOCK or not.
Reference<File> open_socket(Reference<UnixSocket> socket, std::uint32_t flags);

// Sockets that only messages refer to, which nobody can ever receive, since they wait in one
// another: their messages are dropped, and so they close.
void collect_lost_sockets();

}  // namespace linux_server
