#include "control/cli/daemon_address.h"

#include <cstdlib>
#include <utility>

#include "control/daemon_paths.h"
#include "control/small_file.h"

namespace ensemble::control {

void add_address_options(CLI::App& app, AddressOptions& options) {
  const char* const kGroup = "Where the daemon is";
  app.add_option("--socket", options.socket, "Its Unix socket")
      ->envname("ENSEMBLE_SOCKET")
      ->group(kGroup);
  app.add_option("--address", options.address, "HOST:PORT, its TCP port instead")
      ->envname("ENSEMBLE_ADDRESS")
      ->group(kGroup);
  app.add_option("--token-file", options.token_file,
                 "A file with a bearer token, for TCP; ENSEMBLE_TOKEN may hold one instead")
      ->envname("ENSEMBLE_TOKEN_FILE")
      ->group(kGroup);
  app.add_option("--tls-ca", options.tls_ca, "Whom its certificate must come from, PEM")
      ->envname("ENSEMBLE_TLS_CA")
      ->group(kGroup);
  app.add_option("--tls-certificate", options.tls_certificate, "This client's certificate, PEM")
      ->envname("ENSEMBLE_TLS_CERTIFICATE")
      ->group(kGroup);
  app.add_option("--tls-key", options.tls_key, "The certificate's key, PEM")
      ->envname("ENSEMBLE_TLS_KEY")
      ->group(kGroup);
}

Result<DaemonAddress> find_daemon(const AddressOptions& options) {
  DaemonAddress address{.socket = options.socket.empty() ? daemon_socket() : options.socket,
                        .tcp = options.address,
                        .token = {},
                        .tls_ca = {},
                        .tls_certificate = {},
                        .tls_key = {}};
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    return fail("--tls-certificate and --tls-key belong together, and {} is missing",
                options.tls_key.empty() ? "--tls-key" : "--tls-certificate");
  }
  const std::pair<const std::string&, std::string*> files[] = {
      {options.token_file, &address.token},
      {options.tls_ca, &address.tls_ca},
      {options.tls_certificate, &address.tls_certificate},
      {options.tls_key, &address.tls_key}};
  for (const auto& [path, content] : files) {
    if (!path.empty()) {
      auto read = read_small_file(path);
      if (!read) {
        return std::unexpected(read.error());
      }
      *content = std::move(*read);
    }
  }
  if (const char* token = std::getenv("ENSEMBLE_TOKEN");
      address.token.empty() && token != nullptr) {
    address.token = token;
  }
  address.token.erase(address.token.find_last_not_of(" \r\n") + 1);
  if (address.token.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") !=
      std::string::npos) {
    return fail("the bearer token is not one: tokens begin with ens_");
  }
  return address;
}

}  // namespace ensemble::control
