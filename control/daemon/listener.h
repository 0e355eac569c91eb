#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "control/acceptor.h"
#include "control/access/role.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// Makes the listening Unix socket `path` with mode 0600; a socket there that nobody serves any more
// is replaced. Its directory is made, with mode 0700, if it is not there. The Error names the path.
Result<vmm::FileDescriptor> listen_at(const std::string& path);

// Accepts connections of the Unix socket and judges who is at their other end (SO_PEERCRED).
// Belongs to the event loop's thread.
class Listener {
 public:
  struct Options {
    // Users who may connect beside this process's and root, which have kAdmin.
    std::map<uid_t, Role> users;
    // Takes a connection and what its client may do; the socket does not block.
    std::function<void(vmm::FileDescriptor socket, Role role)> connected;
  };

  // `loop` outlives this.
  static Result<std::unique_ptr<Listener>> create(vmm::EventLoop& loop, vmm::FileDescriptor socket,
                                                  Options options);

 private:
  explicit Listener(Options options) : options_(std::move(options)) {}

  // Absent: whoever it is may not connect.
  std::optional<Role> role_of(int socket) const;

  Options options_;
  std::unique_ptr<Acceptor> acceptor_;
};

}  // namespace ensemble::control
