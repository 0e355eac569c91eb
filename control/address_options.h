#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}  // namespace CLI

namespace ensemble::control {

// What the command line says of where the daemon is; empty: nothing. But for `socket` and
// `address`, these are paths of files.
struct AddressOptions {
  std::string socket;
  std::string address;
  std::string token_file;
  std::string tls_ca;
  std::string tls_certificate;
  std::string tls_key;

  // The options that say the same, each as NAME=VALUE.
  std::vector<std::string> as_arguments() const;
};

// The group of these options in `--help`.
inline constexpr char kAddressGroup[] = "Where the daemon is";

// `options` outlives `app`.
void add_address_options(CLI::App& app, AddressOptions& options);

}  // namespace ensemble::control
