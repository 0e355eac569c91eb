#include <asm/fcntl.h>
#include <asm/unistd.h>

#include <algorithm>
#include <array>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/ipc/socket_file.h"
#include "guest-kernel/linux/server/ipc/socket_options.h"

// Making sockets, naming and connecting them.
namespace linux_server {
namespace {

constexpr std::uint32_t kUnixFamily = 1;
constexpr std::uint32_t kUnspecifiedFamily = 0;
constexpr std::uint32_t kTypeMask = 0xf;
constexpr std::uint32_t kCloseOnExec = O_CLOEXEC;
constexpr std::uint32_t kNonblocking = O_NONBLOCK;

Result<SocketType> check_type(Task& task) {
  const auto family = static_cast<std::uint32_t>(task.arguments[0]);
  const auto type = static_cast<std::uint32_t>(task.arguments[1]);
  const auto protocol = static_cast<std::uint32_t>(task.arguments[2]);
  constexpr std::uint32_t kTypes = 11;  // SOCK_MAX
  constexpr std::uint32_t kRaw = 3;     // which is a datagram socket here
  if ((type & ~(kTypeMask | kCloseOnExec | kNonblocking)) != 0 || (type & kTypeMask) >= kTypes) {
    return fail(EINVAL);
  }
  if (family != kUnixFamily) {
    return fail(EAFNOSUPPORT);
  }
  if (protocol != 0 && protocol != kUnixFamily) {
    return fail(EPROTONOSUPPORT);
  }
  switch (type & kTypeMask) {
    case static_cast<std::uint32_t>(SocketType::kStream):
      return SocketType::kStream;
    case kRaw:
    case static_cast<std::uint32_t>(SocketType::kDatagram):
      return SocketType::kDatagram;
    case static_cast<std::uint32_t>(SocketType::kSequencedPacket):
      return SocketType::kSequencedPacket;
    default:
      return fail(ESOCKTNOSUPPORT);
  }
}

std::int64_t call_socket(Task& task) {
  const auto type = check_type(task);
  if (!type) {
    return -type.error().number;
  }
  const auto flags = static_cast<std::uint32_t>(task.arguments[1]);
  const Reference<File> file =
      open_socket(Reference<UnixSocket>(new UnixSocket(*type, credentials_of(*task.process))),
                  flags & kNonblocking);
  return file ? task.process->descriptors().add(file, (flags & kCloseOnExec) != 0) : -ENOMEM;
}

std::int64_t call_socketpair(Task& task) {
  // Families that exist elsewhere, and have no pairs there.
  constexpr std::array<std::uint32_t, 2> kFamiliesWithoutPairs = {2, 10};
  if (std::ranges::count(kFamiliesWithoutPairs, static_cast<std::uint32_t>(task.arguments[0])) !=
      0) {
    return -EOPNOTSUPP;
  }
  const auto type = check_type(task);
  if (!type) {
    return -type.error().number;
  }
  const auto flags = static_cast<std::uint32_t>(task.arguments[1]);
  const SocketCredentials credentials = credentials_of(*task.process);
  const Reference<UnixSocket> first(new UnixSocket(*type, credentials));
  const Reference<UnixSocket> second(new UnixSocket(*type, credentials));
  const Reference<File> first_file = open_socket(first, flags & kNonblocking);
  const Reference<File> second_file = open_socket(second, flags & kNonblocking);
  if (!first_file || !second_file) {
    return -ENOMEM;
  }
  UnixSocket::connect_pair(*first, *second);
  DescriptorTable& table = task.process->descriptors();
  const bool close_on_exec = (flags & kCloseOnExec) != 0;
  const std::int64_t low = table.add(first_file, close_on_exec);
  const std::int64_t high = low < 0 ? low : table.add(second_file, close_on_exec);
  if (high < 0) {
    table.close(static_cast<std::uint64_t>(low));
    return high;
  }
  const std::array<std::int32_t, 2> numbers = {static_cast<std::int32_t>(low),
                                               static_cast<std::int32_t>(high)};
  if (!task.process->space().write_value(task.arguments[3], numbers)) {
    table.close(static_cast<std::uint64_t>(low));
    table.close(static_cast<std::uint64_t>(high));
    return -EFAULT;
  }
  return 0;
}

std::int64_t call_bind(Task& task) {
  const auto file = find_socket_file(task);
  if (!file) {
    return -file.error().number;
  }
  const auto address = read_address(task, task.arguments[1], task.arguments[2]);
  if (!address) {
    return -address.error().number;
  }
  const auto result = file->socket().bind(task, *address);
  return result ? 0 : -result.error().number;
}

std::int64_t call_listen(Task& task) {
  const auto file = find_socket_file(task);
  if (!file) {
    return -file.error().number;
  }
  const auto result = file->socket().listen(static_cast<std::uint32_t>(task.arguments[1]),
                                            credentials_of(*task.process));
  return result ? 0 : -result.error().number;
}

std::int64_t call_connect(Task& task) {
  const auto file = find_socket_file(task);
  if (!file) {
    return -file.error().number;
  }
  UnixSocket& socket = file->socket();
  const bool is_datagram = socket.type() == SocketType::kDatagram;
  const auto address = read_address(task, task.arguments[1], task.arguments[2]);
  if (!address) {
    return -address.error().number;
  }
  if (is_datagram && address->address.family == kUnspecifiedFamily) {
    return socket.set_peer(nullptr) ? 0 : -EINVAL;
  }
  const auto target = find_socket(task, *address);
  if (!target) {
    return -target.error().number;
  }
  if (is_datagram) {
    const auto result = socket.set_peer(*target);
    return result ? 0 : -result.error().number;
  }
  return socket.connect(task, **target, (file->file->flags() & O_NONBLOCK) == 0);
}

std::int64_t accept(Task& task, std::uint32_t flags) {
  const auto file = find_socket_file(task);
  if (!file) {
    return -file.error().number;
  }
  UnixSocket& listener = file->socket();
  if ((flags & ~(kCloseOnExec | kNonblocking)) != 0) {
    return -EINVAL;
  }
  if (listener.type() == SocketType::kDatagram) {
    return -EOPNOTSUPP;
  }
  if (listener.state() != UnixSocket::State::kListening) {
    return -EINVAL;
  }
  if (listener.first_pending() == nullptr) {
    return listener.wait_for_connection(task, (file->file->flags() & O_NONBLOCK) == 0);
  }
  // The file comes first: without it the connection stays where it is.
  const Reference<File> accepted =
      open_socket(Reference<UnixSocket>(listener.first_pending()), flags & kNonblocking);
  if (!accepted) {
    return -ENOMEM;
  }
  const std::int64_t number =
      task.process->descriptors().add(accepted, (flags & kCloseOnExec) != 0);
  if (number < 0) {
    // Linux too has taken the connection by then, and drops it.
    listener.accept();
    return number;
  }
  const Reference<UnixSocket> connection = listener.accept();
  if (task.arguments[1] != 0) {
    const SocketName* name = connection->peer() != nullptr ? connection->peer()->name() : nullptr;
    const auto written = write_address(task, name, task.arguments[1], task.arguments[2]);
    if (!written) {
      task.process->descriptors().close(static_cast<std::uint64_t>(number));
      return -written.error().number;
    }
  }
  return number;
}
std::int64_t call_accept(Task& task) {
  return accept(task, 0);
}
std::int64_t call_accept4(Task& task) {
  return accept(task, static_cast<std::uint32_t>(task.arguments[3]));
}

std::int64_t call_shutdown(Task& task) {
  const auto file = find_socket_file(task);
  if (!file) {
    return -file.error().number;
  }
  const auto how = static_cast<std::uint32_t>(task.arguments[1]);
  if (how > 2) {
    return -EINVAL;
  }
  file->socket().shut_down(how != 1, how != 0);
  return 0;
}

std::int64_t call_getsockname(Task& task) {
  const auto file = find_socket_file(task);
  if (!file) {
    return -file.error().number;
  }
  const auto result =
      write_address(task, file->socket().name(), task.arguments[1], task.arguments[2]);
  return result ? 0 : -result.error().number;
}

std::int64_t call_getpeername(Task& task) {
  const auto file = find_socket_file(task);
  if (!file) {
    return -file.error().number;
  }
  const UnixSocket* peer = file->socket().peer();
  if (peer == nullptr) {
    return -ENOTCONN;
  }
  const auto result = write_address(task, peer->name(), task.arguments[1], task.arguments[2]);
  return result ? 0 : -result.error().number;
}

constexpr CallEntry kCalls[] = {
    {__NR_socket, call_socket},
    {__NR_socketpair, call_socketpair},
    {__NR_bind, call_bind},
    {__NR_listen, call_listen},
    {__NR_connect, call_connect},
    {__NR_accept, call_accept},
    {__NR_accept4, call_accept4},
    {__NR_shutdown, call_shutdown},
    {__NR_getsockname, call_getsockname},
    {__NR_getpeername, call_getpeername},
    {__NR_getsockopt, call_getsockopt},
    {__NR_setsockopt, call_setsockopt},
};

}  // namespace

std::span<const CallEntry> socket_calls() {
  return kCalls;
}

}  // namespace linux_server
