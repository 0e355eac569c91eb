#pragma once

namespace ensemble::control {

// Whether the other end of a connected Unix socket is a process of this one's user, or of root.
bool is_own_or_root(int socket);

}  // namespace ensemble::control
