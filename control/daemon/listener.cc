#include "control/daemon/listener.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace ensemble::control {
namespace {

constexpr int kBacklog = 1024;

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail("the socket's path '{}' has {} bytes; a socket's path has 1 to {}", path,
                path.size(), sizeof address.sun_path - 1);
  }
  path.copy(address.sun_path, path.size());
  return address;
}

Result<void> make_directory(const std::string& path) {
  const std::filesystem::path directory = std::filesystem::path(path).parent_path();
  if (!directory.empty() && ::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return std::unexpected(
        Error::from_errno("cannot make the directory '" + directory.string() + "'", errno));
  }
  return {};
}

// Whether somebody listens at the address.
bool is_served(const sockaddr_un& address) {
  const vmm::FileDescriptor socket(
      ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
             0 ||
         errno == EAGAIN;
}

}  // namespace

Result<vmm::FileDescriptor> listen_at(const std::string& path) {
  const auto address = address_of(path);
  if (!address) {
    return std::unexpected(address.error());
  }
  if (auto made = make_directory(path); !made) {
    return std::unexpected(made.error());
  }
  if (is_served(*address)) {
    return fail(
        "another daemon serves '{}' already; end that one first, or choose another --socket", path);
  }
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) {
    ::unlink(path.c_str());
  }
  vmm::FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // Nobody else can connect between bind() and chmod().
  const mode_t mask = ::umask(0177);
  const bool bound =
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) == 0;
  const int error_number = errno;
  ::umask(mask);
  if (!bound || ::listen(socket.get(), kBacklog) != 0) {
    return std::unexpected(
        Error::from_errno("cannot listen on '" + path + "'", bound ? errno : error_number));
  }
  return socket;
}

Result<std::unique_ptr<Listener>> Listener::create(vmm::EventLoop& loop, vmm::FileDescriptor socket,
                                                   Options options) {
  std::unique_ptr<Listener> made(new Listener(std::move(options)));
  auto acceptor =
      Acceptor::create(loop, std::move(socket), [raw = made.get()](vmm::FileDescriptor peer) {
        if (const auto role = raw->role_of(peer.get())) {
          raw->options_.connected(std::move(peer), *role);
        }
      });
  if (!acceptor) {
    return std::unexpected(acceptor.error());
  }
  made->acceptor_ = std::move(*acceptor);
  return made;
}

std::optional<Role> Listener::role_of(int socket) const {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return std::nullopt;
  }
  if (peer.uid == ::geteuid() || peer.uid == 0) {
    return Role::kAdmin;
  }
  if (const auto user = options_.users.find(peer.uid); user != options_.users.end()) {
    return user->second;
  }
  spdlog::warn("user {} (process {}) may not connect and was refused", peer.uid, peer.pid);
  return std::nullopt;
}

}  // namespace ensemble::control
