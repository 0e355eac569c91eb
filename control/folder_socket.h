#pragma once

#include <string>

#include "vmm/error.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// Unix stream sockets in a directory whose path may be longer than a socket's address.

// A socket that listens at `folder`/`name`, in place of what was there. `backlog`: how many
// connections wait to be accepted.
Result<vmm::FileDescriptor> listen_in_folder(const std::string& folder, const char* name,
                                             int backlog);

// A socket that is connected to the one at `folder`/`name`. Waits for nobody: EAGAIN where its
// queue is full; ECONNREFUSED and ENOENT mean that nobody listens.
Result<vmm::FileDescriptor> connect_in_folder(const std::string& folder, const char* name);

}  // namespace ensemble::control
