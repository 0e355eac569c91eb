#include "control/daemon_paths.h"

#include <unistd.h>

#include <cstdlib>

namespace ensemble::control {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

std::string daemon_socket() {
  if (const std::string socket = environment("ENSEMBLE_SOCKET"); !socket.empty()) {
    return socket;
  }
  std::string folder = environment("XDG_RUNTIME_DIR");
  if (folder.empty()) {
    folder = ::geteuid() == 0 ? "/run" : "/run/user/" + std::to_string(::geteuid());
  }
  return folder + "/ensemble/ensembled.sock";
}

std::string daemon_state_directory() {
  if (const std::string folder = environment("XDG_STATE_HOME"); !folder.empty()) {
    return folder + "/ensemble";
  }
  const std::string home = environment("HOME");
  return home.empty() ? "/var/lib/ensemble" : home + "/.local/state/ensemble";
}

}  // namespace ensemble::control
