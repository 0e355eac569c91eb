#include <algorithm>
#include <bit>
#include <utility>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/ipc/socket_file.h"
#include "guest-kernel/linux/server/ipc/unix_socket.h"
#include "guest-kernel/linux/server/signals.h"
#include "guest-kernel/linux/server/time_value.h"

// What is sent through a socket and received.
namespace linux_server {
namespace {

// What a message costs its sender beside its bytes, so that many small ones have a limit too.
constexpr std::size_t kOverhead = 512;
constexpr std::size_t kLargestPiece = 16384 - sizeof(SocketMessage);
constexpr std::size_t kBatch = 4096 - sizeof(SocketMessage);

// Room for `size` bytes, as large as the allocator's block is anyway.
std::size_t capacity_for(std::size_t size) {
  return std::bit_ceil(size + sizeof(SocketMessage)) - sizeof(SocketMessage);
}

void set_timeout(Task& task, std::uint64_t timeout) {
  if (!task.resumed) {
    task.deadline = timeout == 0 ? Task::kNever : add_time(guest::monotonic_ns(), timeout);
  }
}

}  // namespace

void UnixSocket::enqueue(SocketMessage& message) {
  (last_ != nullptr ? last_->next : first_) = &message;
  last_ = &message;
  ++count_;
}

void UnixSocket::drop_first() {
  SocketMessage* const message = first_;
  first_ = std::exchange(message->next, nullptr);
  last_ = first_ == nullptr ? nullptr : last_;
  --count_;
  release_message(message);
}

void UnixSocket::drop_messages() {
  // Taken off first: closing what is in them may come back here.
  SocketMessage* message = std::exchange(first_, nullptr);
  last_ = nullptr;
  count_ = 0;
  while (message != nullptr) {
    SocketMessage* const next = std::exchange(message->next, nullptr);
    release_message(message);
    message = next;
  }
}

void UnixSocket::charge(SocketMessage& message, std::size_t amount) {
  message.charge += amount;
  charge_ += amount;
}

void UnixSocket::release_charge(std::size_t charge) {
  charge_ -= charge;
  if (!closed_) {
    changed_.wake(kWritable);
  }
}

std::int64_t UnixSocket::wait_to_send(Task& task, WaitQueue& queue, bool waits) {
  set_timeout(task, send_timeout);
  return !waits || task.is_due() ? -EAGAIN : task.wait(queue);
}

std::int64_t UnixSocket::wait_to_receive(Task& task, bool waits) {
  set_timeout(task, receive_timeout);
  return !waits || task.is_due() ? -EAGAIN : task.wait(changed_);
}

std::int64_t UnixSocket::send(Task& task, const UserBuffer& buffer, const SendRequest& request,
                              std::int64_t& done) {
  return is_stream() ? send_stream(task, buffer, request, done)
                     : send_packet(task, buffer, request);
}

std::int64_t UnixSocket::send_piece(const UserBuffer& buffer, std::uint64_t offset,
                                    const SendRequest& request, bool with_files) {
  UnixSocket& peer = *peer_;
  const std::uint64_t left = buffer.size() - offset;
  SocketMessage* last = peer.last_;
  // What follows bytes of the same kind goes with them.
  if (last != nullptr && !with_files && last->sender.get() == this && last->files.size() == 0 &&
      last->credentials == request.credentials && !last->room().empty()) {
    const std::span<std::byte> room = last->room();
    const std::int64_t count =
        buffer.take(room.first(std::min<std::uint64_t>(room.size(), left)), offset);
    if (count > 0) {
      last->append(static_cast<std::size_t>(count));
      charge(*last, static_cast<std::size_t>(count));
    }
    return count;
  }
  // An empty queue always takes a little.
  const std::size_t largest = queues_share.has(kLargestPiece) ? kLargestPiece : kBatch;
  const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(left, largest));
  SocketMessage* const message = SocketMessage::make(
      last != nullptr ? std::max(capacity_for(wanted), kBatch) : capacity_for(wanted),
      last == nullptr && wanted <= kBatch);
  if (message == nullptr) {
    return -ENOBUFS;
  }
  const std::int64_t count = buffer.take(message->room().first(wanted), offset);
  if (count < 0 ||
      (with_files && request.files != nullptr && !message->files.add_all(*request.files))) {
    release_message(message);
    return count < 0 ? count : -ENOMEM;
  }
  message->append(static_cast<std::size_t>(count));
  message->credentials = request.credentials;
  message->sender = Reference<UnixSocket>(this);
  charge(*message, static_cast<std::size_t>(count) + kOverhead);
  peer.enqueue(*message);
  return count;
}

std::int64_t UnixSocket::send_stream(Task& task, const UserBuffer& buffer,
                                     const SendRequest& request, std::int64_t& done) {
  if (!peer_ && !write_shut_) {
    return -ENOTCONN;
  }
  const auto size = static_cast<std::int64_t>(buffer.size());
  for (;;) {
    if (write_shut_ || !peer_ || peer_->closed_ || peer_->read_shut_) {
      if (done == 0 && request.may_signal) {
        raise_signal(task, kSignalPipe);
      }
      return done != 0 ? done : -EPIPE;
    }
    if (done == size) {
      return done;
    }
    const std::int64_t count =
        has_room() ? send_piece(buffer, static_cast<std::uint64_t>(done), request, done == 0)
                   : -ENOBUFS;
    // Where there is something to be received, there will be room.
    if (count == -ENOBUFS && (!has_room() || peer_->last_ != nullptr)) {
      if (done != 0 && (!request.waits || task.interrupted)) {
        return done;
      }
      const std::int64_t result = wait_to_send(task, changed_, request.waits);
      return result != kBlocked && done != 0 ? done : result;
    }
    if (count < 0) {
      return done != 0 ? done : count;
    }
    done += count;
    peer_->changed_.wake(kReadable);
  }
}

std::int64_t UnixSocket::send_packet(Task& task, const UserBuffer& buffer,
                                     const SendRequest& request) {
  Reference<UnixSocket> to(request.to != nullptr ? request.to : peer_.get());
  if (!to) {
    return -ENOTCONN;
  }
  if (buffer.size() > send_limit - std::min<std::size_t>(send_limit, 32)) {
    return -EMSGSIZE;
  }
  if (write_shut_) {
    return -EPIPE;
  }
  if (to->closed_) {
    if (request.to == nullptr && !is_connected_kind()) {
      peer_.reset();
      state_ = State::kIdle;
    }
    return is_connected_kind() ? -EPIPE : -ECONNREFUSED;
  }
  if (to->type_ != type_) {
    return -EPROTOTYPE;
  }
  if (to->peer_ && to->peer_.get() != this) {
    return -EPERM;
  }
  if (to->read_shut_) {
    return -EPIPE;
  }
  if (!has_room()) {
    return wait_to_send(task, changed_, request.waits);
  }
  if (!is_connected_kind() && to->peer_.get() != this && to->count_ > kMaximumDatagrams) {
    return wait_to_send(task, to->changed_, request.waits);
  }
  SocketMessage* const message = SocketMessage::make(
      capacity_for(buffer.size()), to->last_ == nullptr && buffer.size() <= kBatch);
  if (message == nullptr) {
    return -ENOBUFS;
  }
  const std::int64_t count = buffer.take(message->room().first(buffer.size()));
  if (count != static_cast<std::int64_t>(buffer.size()) ||
      (request.files != nullptr && !message->files.add_all(*request.files))) {
    release_message(message);
    return count != static_cast<std::int64_t>(buffer.size()) ? -EFAULT : -ENOMEM;
  }
  message->append(buffer.size());
  message->credentials = request.credentials;
  message->sender = Reference<UnixSocket>(this);
  charge(*message, buffer.size() + kOverhead);
  to->enqueue(*message);
  to->changed_.wake(kReadable);
  return count;
}

std::int64_t UnixSocket::nothing_to_receive(Task& task, bool waits) {
  if (error_ != 0) {
    return -take_error();
  }
  return read_shut_ ? 0 : wait_to_receive(task, waits);
}

bool UnixSocket::take_extras(SocketMessage& message, ReceiveRequest& request) const {
  request.has_sender = true;
  request.credentials = message.credentials;
  request.from = message.sender;
  return message.files.size() == 0 || request.files.add_all(message.files);
}

std::int64_t UnixSocket::receive(Task& task, const UserBuffer& buffer, ReceiveRequest& request,
                                 std::int64_t& done) {
  if (is_connected_kind() && state_ != State::kConnected) {
    return is_stream() ? -EINVAL : -ENOTCONN;
  }
  return is_stream() ? receive_stream(task, buffer, request, done)
                     : receive_packet(task, buffer, request);
}

std::int64_t UnixSocket::receive_packet(Task& task, const UserBuffer& buffer,
                                        ReceiveRequest& request) {
  if (first_ == nullptr) {
    return nothing_to_receive(task, request.waits);
  }
  SocketMessage& message = *first_;
  const std::size_t size = message.bytes().size();
  const std::size_t wanted = std::min<std::size_t>(size, buffer.size());
  if (buffer.fill(message.bytes().first(wanted)) != static_cast<std::int64_t>(wanted)) {
    return -EFAULT;
  }
  if (!take_extras(message, request)) {
    return -ENOMEM;
  }
  request.is_truncated = size > wanted;
  if (!request.peeks) {
    drop_first();
    changed_.wake(kWritable);
    if (request.from && request.from.get() != this) {
      // Whoever could not send for the length of this queue.
      request.from->changed_.wake(kWritable);
    }
  }
  return static_cast<std::int64_t>(request.wants_real_size ? size : wanted);
}

// Goes on from one message to the next until it has enough, or comes to bytes of another sender's
// that say who he is, or has got open files.
std::int64_t UnixSocket::receive_stream(Task& task, const UserBuffer& buffer,
                                        ReceiveRequest& request, std::int64_t& done) {
  const auto size = static_cast<std::int64_t>(buffer.size());
  SocketMessage* message = first_;
  bool is_complete = false;
  while (message != nullptr && !is_complete && (done < size || size == 0)) {
    const bool other_sender =
        passes_credentials && request.has_sender && message->credentials != request.credentials;
    if (other_sender || (done != 0 && message->files.size() != 0 && request.files.size() != 0)) {
      return done;
    }
    const auto bytes = message->bytes();
    const std::int64_t count = buffer.fill(bytes, static_cast<std::uint64_t>(done));
    if (count < 0) {
      return done != 0 ? done : count;
    }
    const bool has_files = message->files.size() != 0;
    if (!take_extras(*message, request)) {
      return done != 0 ? done : -ENOMEM;
    }
    done += count;
    is_complete = has_files || size == 0;
    if (request.peeks) {
      message = message->next;
      continue;
    }
    message->consume(static_cast<std::size_t>(count));
    if (message->bytes().empty() && (count != 0 || bytes.empty())) {
      drop_first();
    } else if (has_files && count != 0) {
      message->drop_files();  // they came with its first bytes
    }
    message = first_;
  }
  if (done != 0 && (done == size || is_complete || !request.wants_all || request.peeks)) {
    return done;
  }
  if (size == 0) {
    return 0;
  }
  if (done != 0 && (!request.waits || task.interrupted || read_shut_ || error_ != 0)) {
    return done;
  }
  const std::int64_t result = nothing_to_receive(task, request.waits);
  return done != 0 && result != kBlocked ? done : result;
}

}  // namespace linux_server
