#include <asm/fcntl.h>
#include <asm/unistd.h>

#include <algorithm>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/ipc/io_vectors.h"
#include "guest-kernel/linux/server/ipc/socket_control.h"
#include "guest-kernel/linux/server/ipc/socket_options.h"
#include "guest-kernel/linux/server/time_value.h"

// Sending and receiving.
namespace linux_server {
namespace {

// MSG_…
enum MessageFlag : std::uint32_t {
  kOutOfBand = 0x1,
  kPeek = 0x2,
  kControlCut = 0x8,
  kCut = 0x20,
  kDontWait = 0x40,
  kWaitAll = 0x100,
  kNoSignal = 0x4000,
  kWaitForOne = 0x10000,
  kCloseOnExec = 0x4000'0000,
};

// struct msghdr
struct MessageHeader {
  std::uint64_t name;
  std::uint32_t name_size;
  std::uint32_t reserved0;
  std::uint64_t vectors;
  std::uint64_t vector_count;
  std::uint64_t control;
  std::uint64_t control_size;
  std::uint32_t flags;
  std::uint32_t reserved1;
};
constexpr std::uint64_t kNameSizeOffset = 8;
constexpr std::uint64_t kControlSizeOffset = 40;
constexpr std::uint64_t kFlagsOffset = 48;
constexpr std::uint64_t kManyStride = 64;  // struct mmsghdr
constexpr std::uint64_t kManySizeOffset = 56;

// How far a call had come before it last waited: whole messages, and bytes of the one after them.
class Progress {
 public:
  explicit Progress(Task& task) : task_(task) {
    if (!task.resumed) {
      task.progress = 0;
    }
    messages = static_cast<std::uint64_t>(task.progress) >> kShift;
    bytes = task.progress & ((std::int64_t{1} << kShift) - 1);
  }
  std::int64_t block() {
    task_.progress = static_cast<std::int64_t>(messages << kShift) | bytes;
    return kBlocked;
  }

  std::uint64_t messages = 0;
  std::int64_t bytes = 0;

 private:
  static constexpr unsigned kShift = 40;
  Task& task_;
};

bool waits(const HeldSocket& file, std::uint32_t flags) {
  return (file.file->flags() & O_NONBLOCK) == 0 && (flags & kDontWait) == 0;
}

std::int64_t send_one(Task& task, const HeldSocket& file, const UserBuffer& buffer,
                      const MessageHeader& header, std::uint32_t flags, std::int64_t& done) {
  UnixSocket& socket = file.socket();
  AttachedFiles files;
  SendRequest request;
  request.waits = waits(file, flags);
  request.may_signal = (flags & kNoSignal) == 0;
  request.credentials = credentials_of(*task.process);
  request.files = &files;
  if ((flags & kOutOfBand) != 0) {
    return -EOPNOTSUPP;
  }
  if (header.control != 0 && header.control_size != 0) {
    const auto read =
        read_control(task, header.control, header.control_size, files, request.credentials);
    if (!read) {
      return -read.error().number;
    }
  }
  if (header.name != 0 && header.name_size != 0 && socket.type() != SocketType::kSequencedPacket) {
    const auto address = read_address(task, header.name, header.name_size);
    if (!address) {
      return -address.error().number;
    }
    if (socket.type() == SocketType::kStream) {
      return socket.state() == UnixSocket::State::kConnected ? -EISCONN : -EOPNOTSUPP;
    }
    const auto to = find_socket(task, *address);
    if (!to) {
      return -to.error().number;
    }
    request.to = *to;
  }
  return socket.send(task, buffer, request, done);
}

// Who sent it, where the socket has a name.
bool write_sender(Task& task, const ReceiveRequest& request, std::uint64_t address,
                  std::uint64_t size_address, std::uint32_t room) {
  const SocketName* name = request.from ? request.from->name() : nullptr;
  const std::uint32_t size = name != nullptr ? name->address().size : 0;
  AddressSpace& space = task.process->space();
  return (name == nullptr ||
          space.write(
              address,
              std::as_bytes(std::span(&name->address().address, 1)).first(std::min(room, size)))) &&
         space.write_value(size_address, size);
}

std::int64_t receive_one(Task& task, const HeldSocket& file, const UserBuffer& buffer,
                         std::uint32_t flags, std::int64_t& done, ReceiveRequest& request) {
  request.waits = waits(file, flags);
  request.peeks = (flags & kPeek) != 0;
  request.wants_all = (flags & kWaitAll) != 0;
  request.wants_real_size = (flags & kCut) != 0;
  if ((flags & kOutOfBand) != 0) {
    return file.socket().type() == SocketType::kStream ? -EINVAL : -EOPNOTSUPP;
  }
  return file.socket().receive(task, buffer, request, done);
}

std::int64_t call_sendto(Task& task) {
  const auto file = find_socket_file(task);
  if (!file) {
    return -file.error().number;
  }
  const UserBuffer buffer(task.process->space(), task.arguments[1],
                          std::min(task.arguments[2], kMaximumTransfer));
  MessageHeader header = {};
  header.name = task.arguments[4];
  header.name_size = static_cast<std::uint32_t>(task.arguments[5]);
  Progress progress(task);
  const std::int64_t result = send_one(
      task, *file, buffer, header, static_cast<std::uint32_t>(task.arguments[3]), progress.bytes);
  return result == kBlocked ? progress.block() : result;
}

std::int64_t call_recvfrom(Task& task) {
  const auto file = find_socket_file(task);
  if (!file) {
    return -file.error().number;
  }
  const UserBuffer buffer(task.process->space(), task.arguments[1],
                          std::min(task.arguments[2], kMaximumTransfer));
  ReceiveRequest request;
  Progress progress(task);
  const std::int64_t result = receive_one(
      task, *file, buffer, static_cast<std::uint32_t>(task.arguments[3]), progress.bytes, request);
  if (result == kBlocked) {
    return progress.block();
  }
  if (result < 0 || task.arguments[4] == 0) {
    return result;
  }
  const auto room = task.process->space().read_value<std::int32_t>(task.arguments[5]);
  if (!room) {
    return -EFAULT;
  }
  if (*room < 0) {
    return -EINVAL;
  }
  return write_sender(task, request, task.arguments[4], task.arguments[5],
                      static_cast<std::uint32_t>(*room))
             ? result
             : -EFAULT;
}

// The message whose header is at `address`.
std::int64_t send_message(Task& task, const HeldSocket& file, std::uint64_t address,
                          std::uint32_t flags, std::int64_t& done) {
  AddressSpace& space = task.process->space();
  const auto header = space.read_value<MessageHeader>(address);
  if (!header) {
    return -EFAULT;
  }
  if (static_cast<std::int32_t>(header->name_size) < 0) {
    return -EINVAL;
  }
  IoVectors vectors;
  if (header->vector_count > kMaximumVectors) {
    return -EMSGSIZE;
  }
  if (const auto read = vectors.read(space, header->vectors, header->vector_count); !read) {
    return -read.error().number;
  }
  return send_one(task, file, vectors.buffer(space), *header, flags, done);
}

std::int64_t receive_message(Task& task, const HeldSocket& file, std::uint64_t address,
                             std::uint32_t flags, std::int64_t& done) {
  AddressSpace& space = task.process->space();
  const auto header = space.read_value<MessageHeader>(address);
  if (!header) {
    return -EFAULT;
  }
  if (header->name != 0 && static_cast<std::int32_t>(header->name_size) < 0) {
    return -EINVAL;
  }
  IoVectors vectors;
  if (header->vector_count > kMaximumVectors) {
    return -EMSGSIZE;
  }
  if (const auto read = vectors.read(space, header->vectors, header->vector_count); !read) {
    return -read.error().number;
  }
  ReceiveRequest request;
  const std::int64_t result = receive_one(task, file, vectors.buffer(space), flags, done, request);
  if (result < 0) {
    return result;
  }
  if (header->name != 0 &&
      !write_sender(task, request, header->name, address + kNameSizeOffset, header->name_size)) {
    return -EFAULT;
  }
  const ControlResult control =
      write_control(task, header->control, header->control != 0 ? header->control_size : 0, request,
                    file.socket().passes_credentials, (flags & kCloseOnExec) != 0);
  const std::uint32_t told = (control.is_cut ? kControlCut : 0u) |
                             (request.is_truncated ? kCut : 0u) | (flags & kCloseOnExec);
  return space.write_value(address + kControlSizeOffset, control.size) &&
                 space.write_value(address + kFlagsOffset, told)
             ? result
             : -EFAULT;
}

std::int64_t call_sendmsg(Task& task) {
  const auto file = find_socket_file(task);
  if (!file) {
    return -file.error().number;
  }
  Progress progress(task);
  const std::int64_t result =
      send_message(task, *file, task.arguments[1], static_cast<std::uint32_t>(task.arguments[2]),
                   progress.bytes);
  return result == kBlocked ? progress.block() : result;
}

std::int64_t call_recvmsg(Task& task) {
  const auto file = find_socket_file(task);
  if (!file) {
    return -file.error().number;
  }
  Progress progress(task);
  const std::int64_t result =
      receive_message(task, *file, task.arguments[1], static_cast<std::uint32_t>(task.arguments[2]),
                      progress.bytes);
  return result == kBlocked ? progress.block() : result;
}

using MessageCall = std::int64_t (*)(Task& task, const HeldSocket& file, std::uint64_t address,
                                     std::uint32_t flags, std::int64_t& done);

std::int64_t transfer_many(Task& task, MessageCall transfer, std::uint32_t flags) {
  const auto file = find_socket_file(task);
  if (!file) {
    return -file.error().number;
  }
  const std::uint64_t count =
      std::min<std::uint64_t>(static_cast<std::uint32_t>(task.arguments[2]), kMaximumVectors);
  Progress progress(task);
  while (progress.messages < count) {
    const std::uint64_t address = task.arguments[1] + progress.messages * kManyStride;
    const std::int64_t result =
        transfer(task, *file, address, flags & ~kWaitForOne, progress.bytes);
    if (result == kBlocked && !(task.interrupted && progress.messages != 0)) {
      return progress.block();
    }
    if (result < 0) {
      return progress.messages != 0 ? static_cast<std::int64_t>(progress.messages) : result;
    }
    if (!task.process->space().write_value(address + kManySizeOffset,
                                           static_cast<std::uint32_t>(result))) {
      return progress.messages != 0 ? static_cast<std::int64_t>(progress.messages) : -EFAULT;
    }
    ++progress.messages;
    progress.bytes = 0;
    if ((flags & kWaitForOne) != 0) {
      flags |= kDontWait;
    }
  }
  return static_cast<std::int64_t>(progress.messages);
}

std::int64_t call_sendmmsg(Task& task) {
  return transfer_many(task, send_message, static_cast<std::uint32_t>(task.arguments[3]));
}

// Linux looks at the timeout after a message only, so that it ends no wait; it is checked here and
// has no other effect.
std::int64_t call_recvmmsg(Task& task) {
  if (task.arguments[4] != 0 && !task.resumed) {
    const auto time = read_time_spec(task.process->space(), task.arguments[4]);
    if (!time) {
      return -time.error().number;
    }
  }
  return transfer_many(task, receive_message, static_cast<std::uint32_t>(task.arguments[3]));
}

constexpr CallEntry kCalls[] = {
    {__NR_sendto, call_sendto},   {__NR_recvfrom, call_recvfrom}, {__NR_sendmsg, call_sendmsg},
    {__NR_recvmsg, call_recvmsg}, {__NR_sendmmsg, call_sendmmsg}, {__NR_recvmmsg, call_recvmmsg},
};

}  // namespace

std::span<const CallEntry> socket_message_calls() {
  return kCalls;
}

}  // namespace linux_server
