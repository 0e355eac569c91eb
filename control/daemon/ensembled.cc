// ensembled: keeps devices and serves the API ensemble.v1 on a Unix socket, and on a TCP port if
// asked.

#include <fmt/format.h>
#include <pwd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/access/role.h"
#include "control/command_description.h"
#include "control/daemon/daemon.h"
#include "control/daemon/metrics_port.h"
#include "control/daemon/token_checker.h"
#include "control/daemon_paths.h"
#include "control/log.h"
#include "control/manual_page.h"
#include "control/memory_size.h"
#include "control/version.h"

namespace ensemble::control {
namespace {

constexpr int kFailed = 125;

constexpr const char* kHelp =
    R"(Clients connect to the socket as the same user or as root. Devices are processes
of their own: they go on when the daemon ends, and the next one finds them.

Exit code:
  0        it was ended by SIGTERM or SIGINT
  125      it could not serve, and said why

Examples:
  ensembled
  ensembled --max-devices 100 --max-memory 16G
  ensembled --socket /run/lab/ensembled.sock --allow-user tester:operator
  ensembled --metrics 9464      then http://127.0.0.1:9464/metrics has figures
  ensemble token create ci --role operator --file tokens.yaml
  ensembled --listen 127.0.0.1:7070 --tokens tokens.yaml
  ensembled --listen 0.0.0.0:7070 --tls-certificate server.pem --tls-key server.key
            --tls-client-ca ca.pem --certificate-role ci.example.org:operator)";

int complain(const std::string& message) {
  fmt::print(stderr, "ensembled: {}\n", message);
  return kFailed;
}

// "NAME:ROLE", or "NAME" for `fallback` where there is one.
Result<std::pair<std::string, Role>> parse_grant(const std::string& text,
                                                 std::optional<Role> fallback) {
  const std::size_t colon = text.rfind(':');  // Names may be URIs.
  if (colon == std::string::npos && fallback) {
    return std::pair(text, *fallback);
  }
  if (colon == std::string::npos || colon == 0) {
    return fail("'{}' is not NAME:ROLE", text);
  }
  const auto role = parse_role(text.substr(colon + 1));
  if (!role) {
    return std::unexpected(role.error());
  }
  return std::pair(text.substr(0, colon), *role);
}

Result<void> add_user(const std::string& text, std::map<uid_t, Role>& users) {
  const auto grant = parse_grant(text, Role::kAdmin);
  if (!grant) {
    return std::unexpected(grant.error());
  }
  const passwd* entry = ::getpwnam(grant->first.c_str());
  if (entry == nullptr) {
    return fail("there is no user '{}'", grant->first);
  }
  users[entry->pw_uid] = grant->second;
  return {};
}

struct Arguments {
  DaemonOptions options;
  std::vector<std::string> users;
  std::string listen;
  std::string metrics;
  TcpOptions tcp;
  std::vector<std::string> certificate_roles;
  std::string memory;
  std::string level = "info";
  bool manual = false;
  bool release_groups = false;
};

Result<void> set_tcp(Arguments& arguments) {
  TcpOptions& tcp = arguments.tcp;
  if (arguments.listen.empty()) {
    const bool is_meant = !tcp.certificate.empty() || !tcp.key.empty() || !tcp.client_ca.empty() ||
                          !tcp.tokens.empty() || !arguments.certificate_roles.empty() ||
                          tcp.connection_age;
    return is_meant ? fail("tokens and certificates are for a TCP port, and there is no --listen")
                    : Result<void>();
  }
  const auto address = parse_tcp_address(arguments.listen);
  if (!address) {
    return std::unexpected(address.error().with_context("--listen"));
  }
  tcp.address = *address;
  for (const std::string& text : arguments.certificate_roles) {
    const auto grant = parse_grant(text, std::nullopt);
    if (!grant) {
      return std::unexpected(grant.error().with_context("--certificate-role"));
    }
    tcp.certificate_roles.insert(*grant);
  }
  if (auto checked = check(tcp); !checked) {
    return checked;
  }
  if (!tcp.tokens.empty()) {
    if (auto checked = TokenChecker::check_file(tcp.tokens); !checked) {
      return checked;
    }
  }
  arguments.options.tcp = tcp;
  return {};
}

int run(Arguments arguments) {
  DaemonOptions& options = arguments.options;
  if (!arguments.memory.empty()) {
    const auto memory = parse_memory_size(arguments.memory);
    if (!memory) {
      return complain(memory.error().with_context("--max-memory").message());
    }
    options.quotas.memory = *memory;
  }
  for (const std::string& user : arguments.users) {
    if (auto added = add_user(user, options.users); !added) {
      return complain(added.error().with_context("--allow-user").message());
    }
  }
  if (auto set = set_tcp(arguments); !set) {
    return complain(set.error().message());
  }
  if (!arguments.metrics.empty()) {
    const auto address = parse_metrics_address(arguments.metrics);
    if (!address) {
      return complain(address.error().with_context("--metrics").message());
    }
    options.metrics = *address;
  }
  set_log_level(arguments.level);
  const auto ran = run_daemon(options);
  return ran ? 0 : complain(ran.error().message());
}

void add_tcp_options(CLI::App& app, Arguments& arguments) {
  TcpOptions& tcp = arguments.tcp;
  app.add_option("--listen", arguments.listen,
                 "ADDRESS:PORT, a TCP port to serve too; other than on loopback with TLS only");
  app.add_option("--tokens", tcp.tokens,
                 "Bearer tokens that the port takes; `ensemble token` writes such files");
  app.add_option("--tls-certificate", tcp.certificate, "The port's certificate chain, PEM");
  app.add_option("--tls-key", tcp.key, "The certificate's key, PEM");
  app.add_option("--tls-client-ca", tcp.client_ca, "Whose certificates the port takes, PEM");
  app.add_option_function<std::uint32_t>(
         "--connection-age",
         [&tcp](std::uint32_t seconds) { tcp.connection_age = std::chrono::seconds(seconds); },
         "Seconds after which a client with a certificate has to connect anew, and the "
         "certificate is looked at again; calls that have begun go on; default: 600")
      ->check(CLI::Range(1U, 86'400U));
  app.add_option("--certificate-role", arguments.certificate_roles,
                 "NAME:ROLE, what a client may do whose certificate has this common name or "
                 "subject alternative name; may be given several times");
}

int run(int count, char** values) {
  Arguments arguments;
  DaemonOptions& options = arguments.options;
  options.socket = daemon_socket();
  options.state_directory = daemon_state_directory();
  options.log_level = "warn";
  CLI::App app{"Keeps Ensemble's devices and serves its API on a Unix socket.", "ensembled"};
  app.footer(kHelp);
  app.set_version_flag("--version", fmt::format("ensembled {}", kVersion));
  app.add_option("--socket", options.socket, "The Unix socket to serve")->capture_default_str();
  app.add_option("--state", options.state_directory, "Where devices are kept")
      ->capture_default_str();
  app.add_option("--allow-user", arguments.users,
                 "NAME or NAME:ROLE, another user who may connect (the socket's mode must let "
                 "them); roles are viewer, operator and admin, the default");
  add_tcp_options(app, arguments);
  app.add_option("--metrics", arguments.metrics,
                 "[ADDRESS:]PORT of loopback where Prometheus may read figures; 0: any port, which "
                 "the log tells; default: nowhere");
  app.add_option("--max-devices", options.quotas.devices, "Most devices; default: no limit");
  app.add_option("--max-memory", arguments.memory,
                 "Most RAM of all running devices, such as 16G; default: no limit");
  app.add_option("--log-level", arguments.level, "How much is logged to standard error")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
  app.add_option("--device-log-level", options.log_level, "How much devices' processes log")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
  // For systemd, when the daemon has ended.
  app.add_flag("--release-groups", arguments.release_groups,
               "Take limits off the devices of a daemon that has ended")
      ->group("");
  // For the build.
  app.add_flag("--manual", arguments.manual, "Print the manual page")->group("");
  try {
    app.parse(count, values);
  } catch (const CLI::Success& request) {
    return app.exit(request);  // --help and --version.
  } catch (const CLI::ParseError& error) {
    return complain(std::string(error.what()) + " (`ensembled --help` shows the usage)");
  }
  if (arguments.manual) {
    fmt::print("{}", manual_page(describe(app), 8, "ensemble(1)"));
    return 0;
  }
  if (arguments.release_groups) {
    const auto released = DeviceGroups::release();
    return released ? 0 : complain(released.error().message());
  }
  return run(std::move(arguments));
}

}  // namespace
}  // namespace ensemble::control

int main(int count, char** values) {
  return ensemble::control::run(count, values);
}
