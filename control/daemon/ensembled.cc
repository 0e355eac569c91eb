// ensembled: keeps devices and serves the API ensemble.v1 on a Unix socket.

#include <fmt/format.h>
#include <pwd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "control/daemon/daemon.h"
#include "control/daemon_paths.h"
#include "control/log.h"
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
  ensembled --socket /run/lab/ensembled.sock --allow-user tester)";

int complain(const std::string& message) {
  fmt::print(stderr, "ensembled: {}\n", message);
  return kFailed;
}

Result<uid_t> find_user(const std::string& name) {
  const passwd* entry = ::getpwnam(name.c_str());
  if (entry == nullptr) {
    return fail("--allow-user {}: there is no such user", name);
  }
  return entry->pw_uid;
}

struct Arguments {
  DaemonOptions options;
  std::vector<std::string> users;
  std::string memory;
  std::string level = "info";
};

int run(Arguments arguments) {
  DaemonOptions& options = arguments.options;
  if (!arguments.memory.empty()) {
    const auto memory = parse_memory_size(arguments.memory);
    if (!memory) {
      return complain(memory.error().with_context("--max-memory").message());
    }
    options.quotas.memory = *memory;
  }
  for (const std::string& name : arguments.users) {
    const auto user = find_user(name);
    if (!user) {
      return complain(user.error().message());
    }
    options.users.insert(*user);
  }
  set_log_level(arguments.level);
  const auto ran = run_daemon(options);
  return ran ? 0 : complain(ran.error().message());
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
                 "Another user who may connect (the socket's mode must let them)");
  app.add_option("--max-devices", options.quotas.devices, "Most devices; default: no limit");
  app.add_option("--max-memory", arguments.memory,
                 "Most RAM of all running devices, such as 16G; default: no limit");
  app.add_option("--log-level", arguments.level, "How much is logged to standard error")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
  app.add_option("--device-log-level", options.log_level, "How much devices' processes log")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
  try {
    app.parse(count, values);
  } catch (const CLI::Success& request) {
    return app.exit(request);  // --help and --version.
  } catch (const CLI::ParseError& error) {
    return complain(std::string(error.what()) + " (`ensembled --help` shows the usage)");
  }
  return run(std::move(arguments));
}

}  // namespace
}  // namespace ensemble::control

int main(int count, char** values) {
  return ensemble::control::run(count, values);
}
