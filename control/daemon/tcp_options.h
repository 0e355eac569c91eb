#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "control/access/role.h"
#include "vmm/error.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

struct TcpAddress {
  // Numeric.
  std::string host;
  // 0: any that is free.
  std::uint16_t port = 0;
  bool is_version_6 = false;
  bool is_loopback = false;

  // As it is written: "127.0.0.1:7070" or "[::1]:7070".
  std::string text() const;
};

// The Error says how an address is written.
Result<TcpAddress> parse_tcp_address(std::string_view text);

// A listening socket there, which does not block; port 0 is replaced by the one that was given.
Result<vmm::FileDescriptor> listen_at(TcpAddress& address);

// A TCP port for clients, and how they show who they are. Paths of PEM files may be empty.
struct TcpOptions {
  TcpAddress address;
  // The server's certificate chain and its key.
  std::string certificate;
  std::string key;
  // Whose certificates clients may show; the names in them have these roles.
  std::string client_ca;
  std::map<std::string, Role> certificate_roles;
  // How long a connection lasts where certificates are taken: they are looked at when a client
  // connects. Calls that have begun go on. None given: 10 minutes.
  std::optional<std::chrono::seconds> connection_age;
  // A file of bearer tokens.
  std::string tokens;

  bool has_tls() const { return !certificate.empty(); }
};

// Whether no stranger can call anything with these options; the Error names the option that lacks.
Result<void> check(const TcpOptions& options);

}  // namespace ensemble::control
