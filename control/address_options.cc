#include "control/address_options.h"

#include <CLI/CLI.hpp>

namespace ensemble::control {
namespace {

struct AddressOption {
  const char* name;
  std::string AddressOptions::*value;
  const char* text;
};

// The socket first: it excludes the others, which are for a port.
constexpr AddressOption kOptions[] = {
    {"--socket", &AddressOptions::socket, "Its Unix socket; else ENSEMBLE_SOCKET says it"},
    {"--address", &AddressOptions::address,
     "HOST:PORT, its TCP port instead; else ENSEMBLE_ADDRESS says it"},
    {"--token-file", &AddressOptions::token_file,
     "A file with a bearer token, for TCP; else ENSEMBLE_TOKEN has one, or "
     "ENSEMBLE_TOKEN_FILE says the file"},
    {"--tls-ca", &AddressOptions::tls_ca,
     "Whom its certificate must come from, PEM; else ENSEMBLE_TLS_CA says it"},
    {"--tls-certificate", &AddressOptions::tls_certificate,
     "This client's certificate, PEM; else ENSEMBLE_TLS_CERTIFICATE says it"},
    {"--tls-key", &AddressOptions::tls_key,
     "The certificate's key, PEM; else ENSEMBLE_TLS_KEY says it"},
};

}  // namespace

std::vector<std::string> AddressOptions::as_arguments() const {
  std::vector<std::string> arguments;
  for (const AddressOption& option : kOptions) {
    if (const std::string& value = this->*option.value; !value.empty()) {
      arguments.push_back(std::string(option.name) + "=" + value);
    }
  }
  return arguments;
}

void add_address_options(CLI::App& app, AddressOptions& options) {
  CLI::Option* socket = nullptr;
  for (const AddressOption& each : kOptions) {
    CLI::Option* const option =
        app.add_option(each.name, options.*each.value, each.text)->group(kAddressGroup);
    if (socket == nullptr) {
      socket = option;
    } else {
      option->excludes(socket);
    }
  }
}

}  // namespace ensemble::control
