#include "guest-kernel/linux/server/ipc/socket_options.h"

#include <algorithm>

#include "guest-kernel/linux/server/process.h"
#include "guest-kernel/linux/server/time_value.h"

namespace linux_server {
namespace {

constexpr std::uint32_t kSocketLevel = 1;  // SOL_SOCKET

// SO_…
enum Option : std::uint32_t {
  kDebug = 1,
  kReuseAddress = 2,
  kTypeOption = 3,
  kErrorOption = 4,
  kDontRoute = 5,
  kBroadcast = 6,
  kSendBuffer = 7,
  kReceiveBuffer = 8,
  kKeepAlive = 9,
  kOutOfBandInline = 10,
  kPriority = 12,
  kLinger = 13,
  kReusePort = 15,
  kPassCredentials = 16,
  kPeerCredentials = 17,
  kReceiveLow = 18,
  kSendLow = 19,
  kReceiveTimeout = 20,
  kSendTimeout = 21,
  kTimestamp = 29,
  kAcceptConnections = 30,
  kSendBufferForce = 32,
  kReceiveBufferForce = 33,
  kProtocol = 38,
  kDomain = 39,
};

constexpr std::size_t kLargestBuffer = 212992;  // net.core.wmem_max
constexpr std::size_t kSmallestSendBuffer = 4608;
constexpr std::size_t kSmallestReceiveBuffer = 2304;

// Gives the program the option's value, cut to the room that it has.
template <typename T>
std::int64_t give(Task& task, const T& value) {
  AddressSpace& space = task.process->space();
  const auto room = space.read_value<std::int32_t>(task.arguments[4]);
  if (!room) {
    return -EFAULT;
  }
  if (*room < 0) {
    return -EINVAL;
  }
  const std::size_t count = std::min<std::size_t>(static_cast<std::size_t>(*room), sizeof(T));
  return space.write(task.arguments[3], std::as_bytes(std::span(&value, 1)).first(count)) &&
                 space.write_value(task.arguments[4], static_cast<std::uint32_t>(count))
             ? 0
             : -EFAULT;
}

TimeValue to_time_value(std::uint64_t ns) {
  const TimeSpec time = to_time_spec(ns);
  return {time.seconds, time.nanoseconds / 1000};
}

std::int64_t take_time(Task& task, std::uint64_t& timeout) {
  if (static_cast<std::uint32_t>(task.arguments[4]) < sizeof(TimeValue)) {
    return -EINVAL;
  }
  const auto value = task.process->space().read_value<TimeValue>(task.arguments[3]);
  if (!value) {
    return -EFAULT;
  }
  if (value->microseconds < 0 || value->microseconds >= 1'000'000) {
    return -EDOM;
  }
  timeout = value->seconds < 0 ? 1 : *to_nanoseconds(value->seconds, value->microseconds * 1000);
  return 0;
}

std::size_t buffer_size(std::int32_t value, std::size_t smallest) {
  const std::size_t wanted = std::min(static_cast<std::size_t>(std::max(value, 0)), kLargestBuffer);
  return std::max(wanted * 2, smallest);
}

}  // namespace

Result<HeldSocket> find_socket_file(Task& task) {
  const Reference<File> file =
      task.process->descriptors().find(static_cast<std::uint32_t>(task.arguments[0]));
  if (!file) {
    return fail(EBADF);
  }
  return as_socket(file.get()) != nullptr ? Result<HeldSocket>(HeldSocket{file}) : fail(ENOTSOCK);
}

std::int64_t call_getsockopt(Task& task) {
  const auto file = find_socket_file(task);
  if (!file) {
    return -file.error().number;
  }
  if (static_cast<std::uint32_t>(task.arguments[1]) != kSocketLevel) {
    return -EOPNOTSUPP;
  }
  UnixSocket& socket = file->socket();
  switch (static_cast<std::uint32_t>(task.arguments[2])) {
    case kTypeOption:
      return give(task, static_cast<std::uint32_t>(socket.type()));
    case kErrorOption:
      return give(task, socket.take_error());
    case kDomain:
      return give(task, std::uint32_t{UnixAddress::kUnix});
    case kSendBuffer:
      return give(task, static_cast<std::uint32_t>(socket.send_limit));
    case kReceiveBuffer:
      return give(task, static_cast<std::uint32_t>(socket.receive_limit));
    case kPassCredentials:
      return give(task, std::uint32_t{socket.passes_credentials});
    case kPeerCredentials:
      return give(task, socket.peer_credentials());
    case kReceiveTimeout:
      return give(task, to_time_value(socket.receive_timeout));
    case kSendTimeout:
      return give(task, to_time_value(socket.send_timeout));
    case kAcceptConnections:
      return give(task, std::uint32_t{socket.state() == UnixSocket::State::kListening});
    case kReceiveLow:
    case kSendLow:
      return give(task, std::uint32_t{1});
    case kLinger:
      return give(task, std::uint64_t{0});
    case kDebug:
    case kReuseAddress:
    case kDontRoute:
    case kBroadcast:
    case kKeepAlive:
    case kOutOfBandInline:
    case kPriority:
    case kReusePort:
    case kTimestamp:
    case kProtocol:
      return give(task, std::uint32_t{0});
    default:
      return -ENOPROTOOPT;
  }
}

std::int64_t call_setsockopt(Task& task) {
  const auto file = find_socket_file(task);
  if (!file) {
    return -file.error().number;
  }
  const auto size = static_cast<std::int32_t>(task.arguments[4]);
  if (size < 0) {
    return -EINVAL;
  }
  if (static_cast<std::uint32_t>(task.arguments[1]) != kSocketLevel) {
    return -EOPNOTSUPP;
  }
  if (size < static_cast<std::int32_t>(sizeof(std::int32_t))) {
    return -EINVAL;
  }
  const auto value = task.process->space().read_value<std::int32_t>(task.arguments[3]);
  if (!value) {
    return -EFAULT;
  }
  UnixSocket& socket = file->socket();
  switch (static_cast<std::uint32_t>(task.arguments[2])) {
    case kSendBuffer:
    case kSendBufferForce:
      socket.send_limit = buffer_size(*value, kSmallestSendBuffer);
      socket.changed().wake(kWritable);
      return 0;
    case kReceiveBuffer:
    case kReceiveBufferForce:
      socket.receive_limit = buffer_size(*value, kSmallestReceiveBuffer);
      return 0;
    case kPassCredentials:
      socket.passes_credentials = *value != 0;
      return 0;
    case kReceiveTimeout:
      return take_time(task, socket.receive_timeout);
    case kSendTimeout:
      return take_time(task, socket.send_timeout);
    // Of no consequence between processes of one machine.
    case kDebug:
    case kReuseAddress:
    case kDontRoute:
    case kBroadcast:
    case kKeepAlive:
    case kOutOfBandInline:
    case kPriority:
    case kReceiveLow:
    case kReusePort:
    case kTimestamp:
      return 0;
    case kLinger:
      return size < 8 ? -EINVAL : 0;
    default:
      return -ENOPROTOOPT;
  }
}

}  // namespace linux_server
