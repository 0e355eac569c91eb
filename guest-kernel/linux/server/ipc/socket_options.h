#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/ipc/socket_file.h"

namespace linux_server {

// The open socket that a call's first argument names.
struct HeldSocket {
  Reference<File> file;
  UnixSocket& socket() const { return static_cast<SocketFile&>(*file).socket(); }
};
// EBADF, ENOTSOCK.
Result<HeldSocket> find_socket_file(Task& task);

// getsockopt(2), setsockopt(2).
std::int64_t call_getsockopt(Task& task);
std::int64_t call_setsockopt(Task& task);

}  // namespace linux_server
