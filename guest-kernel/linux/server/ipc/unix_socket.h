#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/ipc/socket_message.h"
#include "guest-kernel/linux/server/ipc/socket_name.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

enum class SocketType : std::uint32_t { kStream = 1, kDatagram = 2, kSequencedPacket = 5 };

// What is sent beside the bytes, and how.
struct SendRequest {
  bool waits = true;
  bool may_signal = true;
  UnixSocket* to = nullptr;  // of a datagram; null: who it is connected to
  const AttachedFiles* files = nullptr;
  SocketCredentials credentials;
};

// How to receive, and what came beside the bytes.
struct ReceiveRequest {
  bool waits = true;
  bool peeks = false;
  bool wants_all = false;
  bool wants_real_size = false;  // MSG_TRUNC
  bool is_truncated = false;
  bool has_sender = false;
  Reference<UnixSocket> from;
  SocketCredentials credentials;
  AttachedFiles files;
};

// A socket of AF_UNIX: unix(7). It outlives its open file while others refer to it, closed.
class UnixSocket : public Counted, public Charged<open_files_share> {
 public:
  enum class State : std::uint8_t { kIdle, kListening, kConnected };

  static constexpr std::size_t kDefaultLimit = 212992;    // net.core.wmem_default
  static constexpr std::uint32_t kMaximumDatagrams = 10;  // net.unix.max_dgram_qlen

  UnixSocket(SocketType type, const SocketCredentials& creator)
      : credentials_(creator), type_(type) {}
  ~UnixSocket() override { close(); }

  SocketType type() const { return type_; }
  State state() const { return state_; }
  WaitQueue& changed() { return changed_; }
  const SocketName* name() const { return name_.get(); }
  UnixSocket* peer() const { return peer_.get(); }
  const SocketCredentials& peer_credentials() const { return peer_credentials_; }

  // Makes two that are connected to each other.
  static void connect_pair(UnixSocket& first, UnixSocket& second);
  // EINVAL, EADDRINUSE, ENOMEM. An empty address: any abstract one.
  Result<void> bind(Task& task, const NamedAddress& address);
  Result<void> listen(std::uint32_t backlog, const SocketCredentials& listener);
  // To a listener. kBlocked where its queue is full and `waits`.
  std::int64_t connect(Task& task, UnixSocket& listener, bool waits);
  // Sets whom a datagram socket sends to; null: nobody.
  Result<void> set_peer(UnixSocket* peer);
  // The next connection, or null.
  Reference<UnixSocket> accept();
  // For a listener without one. EAGAIN, kBlocked.
  std::int64_t wait_for_connection(Task& task, bool waits) {
    return read_shut_ ? -EINVAL : wait_to_receive(task, waits);
  }
  void shut_down(bool reading, bool writing);
  // Its file is gone.
  void close();

  // `done`: bytes of a stream sent by the call before it last waited.
  std::int64_t send(Task& task, const UserBuffer& buffer, const SendRequest& request,
                    std::int64_t& done);
  std::int64_t receive(Task& task, const UserBuffer& buffer, ReceiveRequest& request,
                       std::int64_t& done);

  std::uint32_t readiness() const;
  // For FIONREAD and SIOCOUTQ.
  std::size_t readable_bytes() const;
  std::size_t charged_bytes() const { return charge_; }
  void release_charge(std::size_t charge);
  // The error that is to be told next; it is told once.
  int take_error() { return std::exchange(error_, 0); }

  // For the collector of circles: what it holds.
  SocketMessage* first_message() const { return first_; }
  UnixSocket* first_pending() const { return first_pending_.get(); }
  UnixSocket* next_pending() const { return next_pending_.get(); }
  void drop_messages();

  bool passes_credentials = false;
  std::size_t send_limit = kDefaultLimit;
  std::size_t receive_limit = kDefaultLimit;
  std::uint64_t send_timeout = 0;  // ns; 0: none
  std::uint64_t receive_timeout = 0;

 private:
  bool is_stream() const { return type_ == SocketType::kStream; }
  bool is_connected_kind() const { return type_ != SocketType::kDatagram; }
  bool has_room() const { return charge_ < send_limit; }
  std::int64_t wait_to_send(Task& task, WaitQueue& queue, bool waits);
  std::int64_t wait_to_receive(Task& task, bool waits);
  std::int64_t send_stream(Task& task, const UserBuffer& buffer, const SendRequest& request,
                           std::int64_t& done);
  std::int64_t send_packet(Task& task, const UserBuffer& buffer, const SendRequest& request);
  // Puts up to a piece of `buffer` into the peer's queue; negative errno.
  std::int64_t send_piece(const UserBuffer& buffer, std::uint64_t offset,
                          const SendRequest& request, bool with_files);
  std::int64_t receive_stream(Task& task, const UserBuffer& buffer, ReceiveRequest& request,
                              std::int64_t& done);
  std::int64_t receive_packet(Task& task, const UserBuffer& buffer, ReceiveRequest& request);
  // Why there is nothing to receive: 0 for the end, a negative errno, or kBlocked.
  std::int64_t nothing_to_receive(Task& task, bool waits);
  bool take_extras(SocketMessage& message, ReceiveRequest& request) const;
  void enqueue(SocketMessage& message);
  void drop_first();
  void charge(SocketMessage& message, std::size_t amount);
  void peer_closed(bool with_reset);

  WaitQueue changed_;
  Reference<SocketName> name_;
  Reference<UnixSocket> peer_;
  SocketMessage* first_ = nullptr;
  SocketMessage* last_ = nullptr;
  std::uint32_t count_ = 0;
  // Connections that nobody has accepted.
  Reference<UnixSocket> first_pending_;
  Reference<UnixSocket> next_pending_;
  std::uint32_t pending_count_ = 0;
  std::uint32_t backlog_ = 0;
  std::size_t charge_ = 0;
  SocketCredentials credentials_;
  SocketCredentials peer_credentials_;
  SocketType type_;
  State state_ = State::kIdle;
  bool read_shut_ = false;
  bool write_shut_ = false;
  bool closed_ = false;
  int error_ = 0;
};

}  // namespace linux_server
