#pragma once

#include <string>

#include "control/daemon_paths.h"
#include "vmm/error.h"

namespace ensemble::control {

struct TokenOptions {
  std::string file = daemon_state_directory() + "/tokens.yaml";
  std::string name;
  std::string role;
  std::string expires = "30d";
};

// `ensemble token create, list, revoke`: they change the file and speak to no daemon.
Result<void> create_token(const TokenOptions& options);
Result<void> list_tokens(const TokenOptions& options);
Result<void> revoke_token(const TokenOptions& options);

}  // namespace ensemble::control
