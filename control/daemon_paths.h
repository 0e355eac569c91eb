#pragma once

#include <string>

namespace ensemble::control {

// Where a daemon listens and its clients look for it: what the environment variable ENSEMBLE_SOCKET
// says, else ensemble/ensembled.sock in $XDG_RUNTIME_DIR, else in /run (root) or /run/user/UID.
std::string daemon_socket();

// Where a daemon keeps its devices: $XDG_STATE_HOME/ensemble, else ~/.local/state/ensemble, or
// without a home /var/lib/ensemble.
std::string daemon_state_directory();

}  // namespace ensemble::control
