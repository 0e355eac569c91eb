#include "control/peer.h"

#include <sys/socket.h>
#include <unistd.h>

namespace ensemble::control {

bool is_own_or_root(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == ::geteuid() || peer.uid == 0);
}

}  // namespace ensemble::control
