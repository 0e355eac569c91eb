#include "control/daemon/daemon.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "control/daemon/api_server.h"
#include "control/daemon/device_record.h"
#include "control/daemon/listener.h"
#include "control/daemon/metrics_port.h"
#include "control/installation.h"

namespace ensemble::control {
namespace {

// How long calls may go on once the daemon is told to end.
constexpr std::chrono::seconds kDrainTime{2};
// So that strangers do not fill the log either.
constexpr std::chrono::seconds kComplaintInterval{60};

Result<void> make_directory(const std::string& path) {
  std::error_code failed;
  const bool made = std::filesystem::create_directories(path, failed);
  if (failed) {
    return fail("cannot make the directory '{}': {}", path, failed.message());
  }
  if (made) {
    std::filesystem::permissions(path, std::filesystem::perms::owner_all, failed);
  }
  return {};
}

std::string folders_in(const std::string& state_directory) {
  return state_directory + "/devices";
}

// As many connections as the host lets this process have.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

// SIGTERM and SIGINT as a descriptor. Before any thread is made.
Result<vmm::FileDescriptor> take_signals() {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  vmm::FileDescriptor descriptor(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!descriptor) {
    return std::unexpected(Error::from_errno("cannot wait for signals", errno));
  }
  return descriptor;
}

// The socket that systemd has passed, or one of this process's own.
Result<vmm::FileDescriptor> listening_socket(const std::string& path) {
  const int passed = ::sd_listen_fds(1);
  if (passed == 0) {
    return listen_at(path);
  }
  if (passed != 1 || ::sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_STREAM, 1, nullptr, 0) <= 0) {
    return fail("systemd passed {} descriptors; ensembled wants one listening Unix stream socket",
                passed);
  }
  return vmm::FileDescriptor(SD_LISTEN_FDS_START);
}

// Groups for devices where the host has them. One line of the log says which limits there are.
DeviceGroups prepare_groups() {
  auto groups = DeviceGroups::prepare();
  if (!groups) {
    spdlog::warn("devices are not held to limits by the host: {}", groups.error().message());
    return {};
  }
  spdlog::info("devices are held to limits of {} in '{}'", fmt::join(groups->controllers(), ", "),
               groups->home());
  return *groups;
}

// The daemon at work, from its first connection to its end.
class Daemon {
 public:
  Daemon(vmm::EventLoop& loop, ServiceContext& context) : loop_(loop), context_(context) {}

  Result<void> run(vmm::FileDescriptor socket, vmm::FileDescriptor signals,
                   const DaemonOptions& options) {
    if (auto opened = open(std::move(socket), options); !opened) {
      shut_down();
      return opened;
    }
    auto watch = loop_.watch(signals.get(), EPOLLIN, [&](std::uint32_t) {
      signalfd_siginfo taken{};
      (void)!::read(signals.get(), &taken, sizeof taken);
      end();
    });
    if (!watch) {
      shut_down();
      return std::unexpected(watch.error());
    }
    ::sd_notify(0, "READY=1");
    auto ran = loop_.run();
    if (drain_.joinable()) {
      drain_.join();
    }
    return ran;
  }

 private:
  Result<void> open(vmm::FileDescriptor socket, const DaemonOptions& options) {
    if (options.metrics) {
      if (auto opened = open_metrics(*options.metrics); !opened) {
        return opened;
      }
    }
    std::set<Role> roles = {Role::kAdmin};
    for (const auto& [user, role] : options.users) {
      roles.insert(role);
    }
    for (const Role role : roles) {
      auto server = ApiServer::for_role(context_, role, metrics());
      if (!server) {
        return std::unexpected(server.error());
      }
      by_role_.emplace(role, std::move(*server));
    }
    auto listener = Listener::create(
        loop_, std::move(socket),
        {.users = options.users, .connected = [this](vmm::FileDescriptor peer, Role role) {
           by_role_.at(role)->serve(std::move(peer));
         }});
    if (!listener) {
      return std::unexpected(listener.error());
    }
    listener_ = std::move(*listener);
    if (options.tcp) {
      auto server = ApiServer::for_port(context_, *options.tcp, metrics());
      if (!server) {
        return std::unexpected(server.error());
      }
      tcp_ = std::move(*server);
      return open_port(*options.tcp);
    }
    return {};
  }

  Result<void> open_metrics(TcpAddress address) {
    api_metrics_ = std::make_unique<ApiMetrics>();
    auto port = MetricsPort::create(address, loop_, context_.devices, *api_metrics_);
    if (!port) {
      return std::unexpected(port.error());
    }
    metrics_port_ = std::move(*port);
    spdlog::info("figures for Prometheus are at http://{}/metrics", address.text());
    return {};
  }

  ApiMetrics* metrics() const { return api_metrics_.get(); }

  Result<void> open_port(const TcpOptions& options) {
    TcpAddress address = options.address;
    auto socket = listen_at(address);
    if (!socket) {
      return std::unexpected(socket.error());
    }
    auto acceptor = Acceptor::create(loop_, std::move(*socket), [this](vmm::FileDescriptor peer) {
      serve_stranger(std::move(peer));
    });
    if (!acceptor) {
      return std::unexpected(acceptor.error());
    }
    port_ = std::move(*acceptor);
    spdlog::info("serving {}{}", address.text(), options.has_tls() ? " with TLS" : "");
    return {};
  }

  // Descriptors have the lowest numbers that are free: strangers do not get the last quarter.
  void serve_stranger(vmm::FileDescriptor peer) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    if (static_cast<rlim_t>(peer.get()) < limit.rlim_cur / 4 * 3) {
      tcp_->serve(std::move(peer));
      return;
    }
    const auto now = std::chrono::steady_clock::now();
    if (now >= next_complaint_) {
      spdlog::warn("the TCP port has too many connections; new ones are closed");
      next_complaint_ = now + kComplaintInterval;
    }
  }

  // Waits for calls to end.
  void shut_down() {
    metrics_port_.reset();
    const auto deadline = std::chrono::system_clock::now() + kDrainTime;
    for (const auto& [role, server] : by_role_) {
      server->shut_down(deadline);
    }
    if (tcp_ != nullptr) {
      tcp_->shut_down(deadline);
    }
  }

  void end() {
    if (drain_.joinable()) {
      return;
    }
    spdlog::info("ending; devices go on");
    ::sd_notify(0, "STOPPING=1");
    listener_.reset();
    port_.reset();
    context_.closing.tell();
    // Calls end on the loop, which therefore goes on meanwhile.
    drain_ = std::thread([this] {
      shut_down();
      loop_.post([this] { loop_.stop(); });
    });
  }

  vmm::EventLoop& loop_;
  ServiceContext& context_;
  std::unique_ptr<ApiMetrics> api_metrics_;  // Null: nobody asks. Outlives the servers.
  std::unique_ptr<MetricsPort> metrics_port_;
  std::map<Role, std::unique_ptr<ApiServer>> by_role_;
  std::unique_ptr<ApiServer> tcp_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Acceptor> port_;
  std::chrono::steady_clock::time_point next_complaint_{};
  std::thread drain_;
};

Result<void> serve(const DaemonOptions& options, vmm::FileDescriptor signals, StateStore& store,
                   const InstallationFiles& files) {
  auto loop = vmm::EventLoop::create();
  if (!loop) {
    return std::unexpected(loop.error());
  }
  auto changes = FolderChanges::create(**loop);
  if (!changes) {
    return std::unexpected(changes.error());
  }
  ProfileStore profiles(store);
  Operations operations(store);
  const std::string folders = folders_in(options.state_directory);
  if (auto made = make_directory(folders); !made) {
    return made;
  }
  DeviceTable devices(**loop, store, profiles, files,
                      {.folders = folders,
                       .log_level = options.log_level,
                       .quotas = options.quotas,
                       .groups = prepare_groups()});
  auto loaded = operations.load();
  if (loaded) {
    loaded = devices.load();
  }
  if (!loaded) {
    return loaded;
  }
  auto socket = listening_socket(options.socket);
  if (!socket) {
    return std::unexpected(socket.error());
  }
  ConsoleInputs consoles(**loop, devices);
  AgentLinks agents(**loop, devices);
  Listeners<> closing;
  ServiceContext context{.loop = **loop,
                         .devices = devices,
                         .operations = operations,
                         .profiles = profiles,
                         .changes = **changes,
                         .consoles = consoles,
                         .agents = agents,
                         .closing = closing,
                         .start_time = now()};
  spdlog::info("serving {} with {} devices", options.socket, devices.size());
  return Daemon(**loop, context).run(std::move(*socket), std::move(signals), options);
}

}  // namespace

Result<void> run_daemon(const DaemonOptions& options) {
  raise_descriptor_limit();
  ::umask(0077);  // Logs and the state file are for this user.
  auto signals = take_signals();
  if (!signals) {
    return std::unexpected(signals.error());
  }
  const auto files = InstallationFiles::locate();
  if (!files) {
    return std::unexpected(files.error());
  }
  if (auto made = make_directory(options.state_directory); !made) {
    return made;
  }
  // SQLite follows no symbolic links, and processes know their folders by their paths.
  std::error_code failed;
  DaemonOptions resolved = options;
  resolved.state_directory = std::filesystem::canonical(options.state_directory, failed).string();
  if (failed) {
    return fail("cannot use the directory '{}': {}", options.state_directory, failed.message());
  }
  auto store = StateStore::open(resolved.state_directory + "/state.db",
                                !has_devices(folders_in(resolved.state_directory)));
  if (!store) {
    return std::unexpected(store.error());
  }
  return serve(resolved, std::move(*signals), *store, *files);
}

}  // namespace ensemble::control
