#include "control/daemon/tcp_options.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>

#include "vmm/file_descriptor.h"

namespace ensemble::control {
namespace {

constexpr std::uint32_t kLoopbackNetwork = 127;
constexpr int kBacklog = 1024;

std::unexpected<Error> not_an_address(std::string_view text) {
  return fail("'{}' is no address; write a number and a port, such as 127.0.0.1:7070 or [::1]:7070",
              text);
}

}  // namespace

std::string TcpAddress::text() const {
  return is_version_6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

Result<TcpAddress> parse_tcp_address(std::string_view text) {
  TcpAddress address;
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return not_an_address(text);
  }
  const std::string_view port = text.substr(colon + 1);
  const auto [end, failed] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (failed != std::errc() || end != port.data() + port.size()) {
    return not_an_address(text);
  }
  address.host = text.substr(0, colon);
  in_addr version_4{};
  in6_addr version_6{};
  if (::inet_pton(AF_INET, address.host.c_str(), &version_4) == 1) {
    address.is_loopback = ntohl(version_4.s_addr) >> 24 == kLoopbackNetwork;
    return address;
  }
  if (!address.host.starts_with('[') || !address.host.ends_with(']')) {
    return not_an_address(text);
  }
  address.host = address.host.substr(1, address.host.size() - 2);
  if (::inet_pton(AF_INET6, address.host.c_str(), &version_6) != 1) {
    return not_an_address(text);
  }
  address.is_version_6 = true;
  address.is_loopback = IN6_IS_ADDR_LOOPBACK(&version_6);
  return address;
}

Result<vmm::FileDescriptor> listen_at(TcpAddress& address) {
  vmm::FileDescriptor socket(::socket(address.is_version_6 ? AF_INET6 : AF_INET,
                                      SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  int bound = -1;
  sockaddr_storage real{};
  socklen_t size = sizeof real;
  if (address.is_version_6) {
    sockaddr_in6 name{};
    name.sin6_family = AF_INET6;
    name.sin6_port = htons(address.port);
    ::inet_pton(AF_INET6, address.host.c_str(), &name.sin6_addr);
    // What is said is what is served: no address of version 4 beside it.
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    bound = ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name);
  } else {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(address.port);
    ::inet_pton(AF_INET, address.host.c_str(), &name.sin_addr);
    bound = ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name);
  }
  if (bound != 0 || ::listen(socket.get(), kBacklog) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&real), &size) != 0) {
    return std::unexpected(Error::from_errno("cannot listen on " + address.text(), errno));
  }
  address.port = ntohs(address.is_version_6 ? reinterpret_cast<const sockaddr_in6&>(real).sin6_port
                                            : reinterpret_cast<const sockaddr_in&>(real).sin_port);
  return socket;
}

Result<void> check(const TcpOptions& options) {
  const std::string address = options.address.text();
  if (options.certificate.empty() != options.key.empty()) {
    return fail("--tls-certificate and --tls-key belong together, and {} is missing",
                options.key.empty() ? "--tls-key" : "--tls-certificate");
  }
  if (!options.has_tls() && !options.client_ca.empty()) {
    return fail(
        "--tls-client-ca takes --tls-certificate and --tls-key: clients show their "
        "certificates over TLS only");
  }
  if (!options.has_tls() && !options.address.is_loopback) {
    return fail(
        "--listen {}: only loopback addresses are served without TLS; give "
        "--tls-certificate and --tls-key, or listen on 127.0.0.1:{}",
        address, options.address.port);
  }
  if (options.client_ca.empty() != options.certificate_roles.empty()) {
    return options.client_ca.empty()
               ? fail("--certificate-role takes --tls-client-ca, whose certificates are taken")
               : fail(
                     "--tls-client-ca takes at least one --certificate-role NAME:ROLE; without, "
                     "no certificate may do anything");
  }
  if (options.client_ca.empty() && options.connection_age) {
    return fail("--connection-age takes --tls-client-ca, whose certificates it is for");
  }
  if (options.client_ca.empty() && options.tokens.empty()) {
    return fail(
        "--listen {}: the port is not opened without authentication; give --tokens FILE "
        "(`ensemble token create` makes one) or --tls-client-ca FILE",
        address);
  }
  return {};
}

}  // namespace ensemble::control
