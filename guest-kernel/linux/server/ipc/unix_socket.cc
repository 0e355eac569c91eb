#include "guest-kernel/linux/server/ipc/unix_socket.h"

#include <algorithm>
#include <array>

#include "guest-kernel/lib/format.h"
#include "guest-kernel/linux/server/ipc/socket_file.h"
#include "guest-kernel/linux/server/process.h"

// Names, connections and their ends; what is sent is in unix_socket_data.cc.
namespace linux_server {
namespace {

constinit std::uint32_t next_automatic_name = 1;

// Linux gives five hexadecimal digits.
bool choose_name(NamedAddress& address) {
  constexpr std::uint32_t kNames = 1u << 20;
  for (std::uint32_t attempt = 0; attempt < kNames; ++attempt) {
    guest::TextWriter text(std::span(address.address.path).subspan(1));
    text.hexadecimal(next_automatic_name, 5);
    next_automatic_name = (next_automatic_name + 1) % kNames;
    address.address.path[0] = '\0';
    address.size = static_cast<std::uint32_t>(UnixAddress::kPathOffset + 1 + text.size());
    if (SocketName::find_abstract(address.name()) == nullptr) {
      return true;
    }
  }
  return false;
}

}  // namespace

void UnixSocket::connect_pair(UnixSocket& first, UnixSocket& second) {
  first.peer_ = Reference<UnixSocket>(&second);
  second.peer_ = Reference<UnixSocket>(&first);
  first.state_ = second.state_ = State::kConnected;
  first.peer_credentials_ = second.credentials_;
  second.peer_credentials_ = first.credentials_;
}

Result<void> UnixSocket::bind(Task& task, const NamedAddress& address) {
  NamedAddress chosen = address;
  if (address.address.family != UnixAddress::kUnix || name_) {
    return fail(EINVAL);
  }
  Reference<Node> node;
  if (address.is_empty()) {
    if (!choose_name(chosen)) {
      return fail(ENOSPC);
    }
  } else if (address.is_abstract()) {
    if (SocketName::find_abstract(address.name()) != nullptr) {
      return fail(EADDRINUSE);
    }
  } else {
    // It is told with its terminator.
    const std::size_t length = std::min(address.name().size() + 1, UnixAddress::kPathSize);
    chosen.size = static_cast<std::uint32_t>(UnixAddress::kPathOffset + length);
    const auto made = make_socket_node(task, address.name());
    if (!made) {
      return std::unexpected(made.error());
    }
    node = *made;
  }
  name_ = Reference<SocketName>(new SocketName(chosen, *this, node.get()));
  return name_ ? Result<void>() : fail(ENOMEM);
}

Result<void> UnixSocket::listen(std::uint32_t backlog, const SocketCredentials& listener) {
  constexpr std::uint32_t kMostConnections = 4096;  // net.core.somaxconn
  if (!is_connected_kind()) {
    return fail(EOPNOTSUPP);
  }
  if (!name_ || state_ == State::kConnected) {
    return fail(EINVAL);
  }
  state_ = State::kListening;
  backlog_ = std::min(backlog, kMostConnections);
  credentials_ = listener;
  changed_.wake();
  return {};
}

std::int64_t UnixSocket::connect(Task& task, UnixSocket& listener, bool waits) {
  if (listener.type_ != type_) {
    return -EPROTOTYPE;
  }
  if (listener.state_ != State::kListening || listener.read_shut_) {
    return -ECONNREFUSED;
  }
  if (state_ != State::kIdle || peer_) {
    return state_ == State::kListening ? -EINVAL : -EISCONN;
  }
  if (listener.pending_count_ > listener.backlog_) {
    return wait_to_send(task, listener.changed_, waits);
  }
  Reference<UnixSocket> other(new UnixSocket(type_, listener.credentials_));
  if (!other) {
    return -ENOMEM;
  }
  credentials_ = credentials_of(*task.process);
  connect_pair(*this, *other);
  other->name_ = listener.name_;
  other->passes_credentials = listener.passes_credentials;
  Reference<UnixSocket>* end = &listener.first_pending_;
  while (*end) {
    end = &(*end)->next_pending_;
  }
  *end = other;
  ++listener.pending_count_;
  listener.changed_.wake(kReadable);
  return 0;
}

Result<void> UnixSocket::set_peer(UnixSocket* peer) {
  if (peer != nullptr && peer->type_ != type_) {
    return fail(EPROTOTYPE);
  }
  // Who has chosen whom it sends to takes from nobody else.
  if (peer != nullptr && peer->peer_ && peer->peer_.get() != this) {
    return fail(EPERM);
  }
  peer_ = Reference<UnixSocket>(peer);
  state_ = peer != nullptr ? State::kConnected : State::kIdle;
  changed_.wake();
  return {};
}

Reference<UnixSocket> UnixSocket::accept() {
  Reference<UnixSocket> next = first_pending_;
  if (next) {
    first_pending_ = next->next_pending_;
    next->next_pending_.reset();
    --pending_count_;
    changed_.wake(kWritable);
  }
  return next;
}

void UnixSocket::shut_down(bool reading, bool writing) {
  read_shut_ = read_shut_ || reading;
  write_shut_ = write_shut_ || writing;
  if (is_connected_kind() && peer_) {
    peer_->read_shut_ = peer_->read_shut_ || writing;
    peer_->write_shut_ = peer_->write_shut_ || reading;
    peer_->changed_.wake();
  }
  changed_.wake();
}

void UnixSocket::peer_closed(bool with_reset) {
  read_shut_ = write_shut_ = true;
  if (with_reset) {
    error_ = ECONNRESET;
  }
  changed_.wake();
}

void UnixSocket::close() {
  if (closed_) {
    return;
  }
  closed_ = true;
  if (name_ && name_->owner() == this) {
    name_->forget_owner();
  }
  const bool unread = first_ != nullptr;
  drop_messages();
  Reference<UnixSocket> peer = std::move(peer_);
  peer_.reset();
  if (peer && is_connected_kind()) {
    peer->peer_closed(unread);
  }
  // Those who were never accepted learn that they never will be.
  Reference<UnixSocket> pending = std::move(first_pending_);
  while (pending) {
    Reference<UnixSocket> next = std::move(pending->next_pending_);
    if (UnixSocket* other = pending->peer_.get(); other != nullptr) {
      other->error_ = ECONNRESET;
    }
    pending->close();
    pending = std::move(next);
  }
  read_shut_ = write_shut_ = true;
  changed_.wake();
}

std::uint32_t UnixSocket::readiness() const {
  std::uint32_t ready = error_ != 0 ? kError : 0u;
  ready |= read_shut_ && write_shut_ ? kHangUp : 0u;
  ready |= read_shut_ ? kReadHangUp | kReadable : 0u;
  ready |= first_ != nullptr || first_pending_ ? kReadable : 0u;
  if (is_connected_kind() && state_ == State::kIdle) {
    ready |= kHangUp;
  }
  bool writable = state_ != State::kListening && charge_ * 4 <= send_limit;
  if (!is_connected_kind() && peer_ && peer_->peer_.get() != this &&
      peer_->count_ > kMaximumDatagrams) {
    writable = false;
  }
  return ready | (writable ? kWritable : 0u);
}

std::size_t UnixSocket::readable_bytes() const {
  if (first_ == nullptr) {
    return 0;
  }
  std::size_t bytes = first_->bytes().size();
  if (is_stream()) {
    for (const SocketMessage* each = first_->next; each != nullptr; each = each->next) {
      bytes += each->bytes().size();
    }
  }
  return bytes;
}

}  // namespace linux_server
