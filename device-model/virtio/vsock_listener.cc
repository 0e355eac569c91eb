#include "device-model/virtio/vsock_listener.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

namespace ensemble::device {
namespace {

constexpr int kBacklog = 16;
constexpr std::string_view kConnect = "CONNECT ";
constexpr std::size_t kLongestLine = 24;
constexpr std::chrono::milliseconds kPause{100};

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

vmm::FileDescriptor make_socket() {
  return vmm::FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

vmm::FileDescriptor connect_to(const std::string& path) {
  vmm::FileDescriptor socket = make_socket();
  const sockaddr_un address = address_of(path);
  if (socket &&
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    socket = vmm::FileDescriptor();
  }
  return socket;
}

// For the user alone. The mask is the process's; no other thread makes files meanwhile.
bool bind_privately(int socket, const std::string& path) {
  const sockaddr_un address = address_of(path);
  const mode_t mask = ::umask(S_IRWXG | S_IRWXO);
  const int bound = ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  ::umask(mask);
  errno = error;
  return bound == 0;
}

// A socket that the process listening at it has left behind.
bool is_left_over(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode) && !connect_to(path) &&
         errno == ECONNREFUSED;
}

std::optional<std::uint32_t> port_of(std::string_view line) {
  if (!line.starts_with(kConnect)) {
    return std::nullopt;
  }
  line.remove_prefix(kConnect.size());
  std::uint32_t port = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), port);
  return error == std::errc() && end == line.data() + line.size() ? std::optional(port)
                                                                  : std::nullopt;
}

}  // namespace

Result<std::unique_ptr<VsockListener>> VsockListener::create(vmm::EventLoop& loop, std::string path,
                                                             Asked asked) {
  if (path.empty() || path.size() > kLongestPath) {
    return fail("a path of {} bytes for the guest's sockets; expected 1 to {}", path.size(),
                kLongestPath);
  }
  vmm::FileDescriptor socket = make_socket();
  if (!socket) {
    return std::unexpected(Error::from_errno("cannot make a socket", errno));
  }
  bool bound = bind_privately(socket.get(), path);
  if (!bound && errno == EADDRINUSE && is_left_over(path)) {
    ::unlink(path.c_str());
    bound = bind_privately(socket.get(), path);
  }
  if (!bound || ::listen(socket.get(), kBacklog) != 0) {
    return std::unexpected(Error::from_errno(fmt::format("cannot listen at '{}'", path), errno));
  }
  std::unique_ptr<VsockListener> listener(
      new VsockListener(loop, std::move(path), std::move(socket), std::move(asked)));
  VsockListener& raw = *listener;
  auto watch = loop.watch(raw.socket_.get(), EPOLLIN, [&raw](std::uint32_t) { raw.accept(); });
  if (!watch) {
    return std::unexpected(watch.error());
  }
  raw.watch_ = *std::move(watch);
  auto pause = vmm::Timer::create(loop, [&raw] { (void)raw.watch_.set_events(EPOLLIN); });
  if (!pause) {
    return std::unexpected(pause.error());
  }
  raw.pause_ = *std::move(pause);
  return listener;
}

VsockListener::VsockListener(vmm::EventLoop& loop, std::string path, vmm::FileDescriptor socket,
                             Asked asked)
    : loop_(loop), path_(std::move(path)), socket_(std::move(socket)), asked_(std::move(asked)) {}

VsockListener::~VsockListener() {
  ::unlink(path_.c_str());
}

vmm::FileDescriptor VsockListener::connect(std::uint32_t port) const {
  return connect_to(fmt::format("{}_{}", path_, port));
}

void VsockListener::accept() {
  vmm::FileDescriptor socket(
      ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
    // The client stays, so the loop would find it again at once.
    (void)watch_.set_events(0);
    pause_->arm(kPause);
    return;
  }
  if (!socket || clients_.size() == kMostClients) {
    return;
  }
  const auto client = clients_.emplace(clients_.end());
  client->socket = std::move(socket);
  auto watch = loop_.watch(client->socket.get(), EPOLLIN,
                           [this, client](std::uint32_t) { read_line(client); });
  if (watch) {
    client->watch = *std::move(watch);
  } else {
    clients_.erase(client);
  }
}

// Byte by byte: what is behind the line is the guest's.
void VsockListener::read_line(std::list<Client>::iterator client) {
  for (;;) {
    char byte = 0;
    const ssize_t count = ::recv(client->socket.get(), &byte, 1, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
      return;
    }
    if (count == 1 && byte != '\n' && client->line.size() < kLongestLine) {
      client->line += byte;
      continue;
    }
    const auto port = count == 1 && byte == '\n' ? port_of(client->line) : std::nullopt;
    client->watch = {};
    vmm::FileDescriptor socket = std::move(client->socket);
    clients_.erase(client);
    if (port) {
      asked_(std::move(socket), *port);
    }
    return;
  }
}

}  // namespace ensemble::device
