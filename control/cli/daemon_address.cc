#include "control/cli/daemon_address.h"

#include <cstdlib>
#include <utility>

#include "control/daemon_paths.h"
#include "control/small_file.h"

namespace ensemble::control {

namespace {

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// What an option says, else the environment.
std::string either(const std::string& option, const char* variable) {
  return option.empty() ? environment(variable) : option;
}

Result<void> read_into(std::string& content, const std::string& path) {
  if (!path.empty()) {
    auto read = read_small_file(path);
    if (!read) {
      return std::unexpected(read.error());
    }
    content = std::move(*read);
  }
  return {};
}

Result<void> find_token(const AddressOptions& options, std::string& token) {
  token = options.token_file.empty() ? environment("ENSEMBLE_TOKEN") : "";
  if (token.empty()) {
    const auto read = read_into(token, either(options.token_file, "ENSEMBLE_TOKEN_FILE"));
    if (!read) {
      return read;
    }
  }
  token.erase(token.find_last_not_of(" \r\n") + 1);
  if (token.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string::npos) {
    return fail("the bearer token is not one: tokens begin with ens_");
  }
  return {};
}

Result<DaemonAddress> at_port(const AddressOptions& options, std::string port) {
  const std::string certificate = either(options.tls_certificate, "ENSEMBLE_TLS_CERTIFICATE");
  const std::string key = either(options.tls_key, "ENSEMBLE_TLS_KEY");
  if (certificate.empty() != key.empty()) {
    return fail("--tls-certificate and --tls-key belong together, and {} is missing",
                key.empty() ? "--tls-key" : "--tls-certificate");
  }
  DaemonAddress address{.socket = {},
                        .tcp = std::move(port),
                        .token = {},
                        .tls_ca = {},
                        .tls_certificate = {},
                        .tls_key = {}};
  auto read = find_token(options, address.token);
  read = read ? read_into(address.tls_ca, either(options.tls_ca, "ENSEMBLE_TLS_CA")) : read;
  read = read ? read_into(address.tls_certificate, certificate) : read;
  read = read ? read_into(address.tls_key, key) : read;
  return read ? Result<DaemonAddress>(std::move(address)) : std::unexpected(read.error());
}

}  // namespace

Result<DaemonAddress> find_daemon(const AddressOptions& options) {
  std::string port =
      options.socket.empty() ? either(options.address, "ENSEMBLE_ADDRESS") : std::string();
  if (!port.empty()) {
    return at_port(options, std::move(port));
  }
  if (!options.token_file.empty() || !options.tls_ca.empty() || !options.tls_certificate.empty() ||
      !options.tls_key.empty()) {
    return fail("tokens and certificates are for a daemon's TCP port: --address says which");
  }
  return DaemonAddress{.socket = options.socket.empty() ? daemon_socket() : options.socket,
                       .tcp = {},
                       .token = {},
                       .tls_ca = {},
                       .tls_certificate = {},
                       .tls_key = {}};
}

}  // namespace ensemble::control
