#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "control/client/client.h"

namespace ensemble::control {

// What the command line and the environment say of where the daemon is; paths of files.
struct AddressOptions {
  std::string socket;
  std::string address;
  std::string token_file;
  std::string tls_ca;
  std::string tls_certificate;
  std::string tls_key;
};

void add_address_options(CLI::App& app, AddressOptions& options);

// Reads the files. The Error says which option is wrong.
Result<DaemonAddress> find_daemon(const AddressOptions& options);

}  // namespace ensemble::control
