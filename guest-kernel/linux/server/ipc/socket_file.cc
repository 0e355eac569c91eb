#include "guest-kernel/linux/server/ipc/socket_file.h"

#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/sockios.h>

#include "guest-kernel/linux/server/calls/file_owner.h"
#include "guest-kernel/linux/server/process.h"

namespace linux_server {
namespace {

constinit SocketFile* first_socket = nullptr;
constinit bool is_collecting = false;
constinit std::uint32_t socket_count = 0;
constinit std::uint32_t closed_since = 0;  // the last collection

// Looking at all sockets is worth it after one in so many has been closed.
constexpr std::uint32_t kWorthwhilePart = 64;

}  // namespace

SocketFile::SocketFile(Reference<AnonymousNode> node, std::uint32_t flags,
                       Reference<UnixSocket> socket)
    : AnonymousFile(std::move(node), flags), socket_(std::move(socket)), next_(first_socket) {
  if (next_ != nullptr) {
    next_->previous_ = this;
  }
  first_socket = this;
  ++socket_count;
}

SocketFile::~SocketFile() {
  (previous_ != nullptr ? previous_->next_ : first_socket) = next_;
  if (next_ != nullptr) {
    next_->previous_ = previous_;
  }
  socket_->close();
  --socket_count;
  ++closed_since;
  if (sockets_in_flight() != 0 && closed_since > socket_count / kWorthwhilePart) {
    collect_lost_sockets();
  }
}

SocketFile* as_socket(File* file) {
  return file != nullptr && file->kind() == FileKind::kSocket ? static_cast<SocketFile*>(file)
                                                              : nullptr;
}

Reference<File> open_socket(Reference<UnixSocket> socket, std::uint32_t flags) {
  const Reference<AnonymousNode> node = make_socket_node();
  return Reference<File>(node && socket ? new SocketFile(node, O_RDWR | flags, std::move(socket))
                                        : nullptr);
}

std::int64_t SocketFile::read(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) {
  ReceiveRequest request;
  request.waits = (flags() & O_NONBLOCK) == 0;
  std::int64_t done = 0;
  return socket_->receive(task, buffer, request, done);
}

std::int64_t SocketFile::write(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) {
  SendRequest request;
  request.waits = (flags() & O_NONBLOCK) == 0;
  request.credentials = credentials_of(*task.process);
  if (!task.resumed) {
    task.progress = 0;
  }
  return socket_->send(task, buffer, request, task.progress);
}

std::int64_t SocketFile::write_bytes(Task& task, std::span<const std::byte> bytes) {
  SendRequest request;
  request.waits = (flags() & O_NONBLOCK) == 0;
  request.credentials = credentials_of(*task.process);
  // What it takes now is enough: the caller comes again with the rest.
  std::int64_t done = 0;
  const UserBuffer buffer({const_cast<std::byte*>(bytes.data()), bytes.size()});
  const std::int64_t result = socket_->send(task, buffer, request, done);
  return result == kBlocked && done != 0 ? done : result;
}

std::int64_t SocketFile::control(Task& task, std::uint64_t request, std::uint64_t argument) {
  std::size_t value = 0;
  switch (request) {
    case FIOSETOWN:
    case SIOCSPGRP: {
      const auto owner = task.process->space().read_value<std::int32_t>(argument);
      return owner ? set_file_owner(task, *this, *owner) : -EFAULT;
    }
    case FIOGETOWN:
    case SIOCGPGRP:
      value = static_cast<std::uint32_t>(file_owner(*this));
      break;
    case FIONREAD:
      if (socket_->state() == UnixSocket::State::kListening) {
        return -EINVAL;
      }
      value = socket_->readable_bytes();
      break;
    case TIOCOUTQ:
      value = socket_->charged_bytes();
      break;
    default:
      return -ENOTTY;
  }
  return task.process->space().write_value(argument, static_cast<std::uint32_t>(value)) ? 0
                                                                                        : -EFAULT;
}

// Whatever an open socket's queue holds can be received. Found are the sockets that only messages
// refer to, then those of them that a socket which is not one of them leads to.
void collect_lost_sockets() {
  if (is_collecting) {
    return;
  }
  is_collecting = true;
  closed_since = 0;
  SocketFile* reached = nullptr;
  const auto reach = [&reached](SocketFile& file) {
    if (!file.is_reached_) {
      file.is_reached_ = true;
      file.next_reached_ = reached;
      reached = &file;
    }
  };
  const auto look_into = [&reach](const UnixSocket& socket) {
    for (SocketMessage* each = socket.first_message(); each != nullptr; each = each->next) {
      for (std::size_t index = 0; index < each->files.size(); ++index) {
        if (SocketFile* file = as_socket(&each->files[index]); file != nullptr) {
          reach(*file);
        }
      }
    }
  };
  for (SocketFile* each = first_socket; each != nullptr; each = each->next_) {
    each->is_reached_ = false;
  }
  for (SocketFile* each = first_socket; each != nullptr; each = each->next_) {
    if (each->owners() != each->in_flight) {
      reach(*each);
    }
  }
  while (reached != nullptr) {
    SocketFile& file = *reached;
    reached = file.next_reached_;
    look_into(*file.socket_);
    for (const UnixSocket* each = file.socket_->first_pending(); each != nullptr;
         each = each->next_pending()) {
      look_into(*each);
    }
  }
  // Held while their queues go, since each may be what keeps the next one open.
  AttachedFiles lost;
  for (SocketFile* each = first_socket; each != nullptr; each = each->next_) {
    if (!each->is_reached_ && !lost.add(*each)) {
      break;
    }
  }
  for (std::size_t index = 0; index < lost.size(); ++index) {
    static_cast<SocketFile&>(lost[index]).socket_->close();
  }
  lost.clear();
  is_collecting = false;
}

}  // namespace linux_server
