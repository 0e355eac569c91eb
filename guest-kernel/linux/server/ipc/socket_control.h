#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/ipc/unix_socket.h"

namespace linux_server {

// The control messages of sendmsg(2): open files into `files`, credentials into `credentials`.
// EINVAL, EBADF, EFAULT, ENOBUFS, ETOOMANYREFS.
Result<void> read_control(Task& task, std::uint64_t address, std::uint64_t size,
                          AttachedFiles& files, SocketCredentials& credentials);

// What recvmsg(2) gives beside the bytes.
struct ControlResult {
  std::uint64_t size = 0;  // of what was written
  bool is_cut = false;
};
// Writes it, and gives the process the files that came, as far as there is room.
ControlResult write_control(Task& task, std::uint64_t address, std::uint64_t size,
                            const ReceiveRequest& request, bool with_credentials,
                            bool close_on_exec);

}  // namespace linux_server
