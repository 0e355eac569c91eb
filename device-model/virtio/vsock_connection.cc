#include "device-model/virtio/vsock_connection.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

namespace ensemble::device {
namespace {

// Of data in one packet for the guest.
constexpr std::size_t kMostData = 64 << 10;
// The guest is told of room once so much of it is new.
constexpr std::uint32_t kCreditStep = VsockConnection::kBufferBytes / 2;

constexpr std::uint32_t bit(std::uint16_t operation) {
  return 1U << operation;
}

// Gives bytes to a socket, as many as it takes; -1 when it has gone.
ssize_t send_some(int socket, std::span<const std::byte> data) {
  std::size_t done = 0;
  while (done < data.size()) {
    const ssize_t count =
        ::send(socket, data.data() + done, data.size() - done, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) {
      done += static_cast<std::size_t>(count);
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      return -1;
    }
  }
  return static_cast<ssize_t>(done);
}

}  // namespace

VsockConnection::VsockConnection(VsockPorts ports, vmm::FileDescriptor socket, Asker asker,
                                 vmm::EventLoop& loop, std::function<void()> changed)
    : ports_(ports),
      socket_(std::move(socket)),
      changed_(std::move(changed)),
      state_(asker == Asker::kGuest ? State::kConnected : State::kAsking),
      pending_(bit(asker == Asker::kGuest ? kVsockResponse : kVsockRequest)) {
  // Each event is told once: a hang-up, which epoll always reports, would otherwise keep the event
  // loop spinning while the guest takes no bytes.
  auto watch =
      loop.watch(socket_.get(), EPOLLONESHOT, [this](std::uint32_t events) { on_events(events); });
  if (!watch) {
    reset();
    return;
  }
  watch_ = *std::move(watch);
  watch_what_matters();
}

void VsockConnection::on_events(std::uint32_t events) {
  const bool gone = (events & (EPOLLHUP | EPOLLERR)) != 0;
  if (state_ == State::kAsking) {
    if (gone) {
      reset();
    }
  } else if (state_ == State::kConnected) {
    readable_ = readable_ || gone || (events & EPOLLIN) != 0;
    if (gone || (events & EPOLLOUT) != 0) {
      send_buffered();
    }
    if (gone && host_ended_ && state_ == State::kConnected) {
      host_sends_no_more();
    }
  }
  watch_what_matters();
  changed_();
}

void VsockConnection::watch_what_matters() {
  if (!watch_ || state_ == State::kEnding || state_ == State::kEnded) {
    return;
  }
  std::uint32_t wanted = buffered_.empty() ? 0 : std::uint32_t{EPOLLOUT};
  if (state_ == State::kConnected && !host_ended_) {
    if (!readable_) {
      wanted |= EPOLLIN;
    } else if (wanted == 0) {
      return;  // Looked at when the guest has room.
    }
  }
  // Without an event that tells of the socket's end alone.
  if (!watch_.set_events(wanted | EPOLLONESHOT)) {
    reset();
  }
}

void VsockConnection::take(const VsockHeader& header, const vmm::DescriptorChain& chain) {
  if (state_ == State::kEnding || state_ == State::kEnded) {
    return;
  }
  guest_buffer_ = header.buffer_size;
  guest_forwarded_ = header.forwarded_count;
  switch (header.operation) {
    case kVsockResponse:
      take_response();
      break;
    case kVsockReset:
      watch_ = {};
      socket_ = {};
      state_ = State::kEnded;
      return;
    case kVsockShutdown:
      guest_ended_ |= header.flags & kVsockEnds;
      send_buffered();
      break;
    case kVsockData:
      take_data(header, chain);
      break;
    case kVsockCreditUpdate:
      break;
    case kVsockCreditRequest:
      pending_ |= bit(kVsockCreditUpdate);
      break;
    default:
      reset();
      break;
  }
  watch_what_matters();
}

void VsockConnection::take_response() {
  const std::string line = "OK " + std::to_string(ports_.host) + "\n";
  if (state_ != State::kAsking ||
      send_some(socket_.get(), std::as_bytes(std::span(line))) != std::ssize(line)) {
    reset();
    return;
  }
  state_ = State::kConnected;
}

void VsockConnection::take_data(const VsockHeader& header, const vmm::DescriptorChain& chain) {
  const std::size_t before = buffered_.size();
  if (state_ != State::kConnected || (guest_ended_ & kVsockSendsNoMore) != 0 ||
      header.size > kBufferBytes - before ||
      header.size > chain.readable_size() - sizeof(VsockHeader)) {
    reset();
    return;
  }
  buffered_.resize(before + header.size);
  chain.read(sizeof(VsockHeader), std::span(buffered_).subspan(before));
  if (before == 0) {
    send_buffered();
  }
}

void VsockConnection::send_buffered() {
  const ssize_t sent = send_some(socket_.get(), buffered_);
  if (sent < 0) {
    reset();
    return;
  }
  buffered_.erase(buffered_.begin(), buffered_.begin() + sent);
  forwarded_ += static_cast<std::uint32_t>(sent);
  if (forwarded_ - told_forwarded_ >= kCreditStep) {
    pending_ |= bit(kVsockCreditUpdate);
  }
  if (buffered_.empty()) {
    finish_sending();
  }
}

// All that the guest has sent has been passed on; so is its having said that this was all.
void VsockConnection::finish_sending() {
  if (guest_ended_ == kVsockEnds) {
    reset();
  } else if ((guest_ended_ & kVsockSendsNoMore) != 0) {
    ::shutdown(socket_.get(), SHUT_WR);
  }
}

// Bytes that the guest has room for. What it claims to have read more than it got counts as none.
std::uint32_t VsockConnection::credit() const {
  const std::uint32_t unread = sent_ - guest_forwarded_;
  return unread < guest_buffer_ ? guest_buffer_ - unread : 0;
}

bool VsockConnection::may_read() const {
  return state_ == State::kConnected && readable_ && !host_ended_ &&
         (guest_ended_ & kVsockReceivesNoMore) == 0 && credit() > 0;
}

bool VsockConnection::has_packet() const {
  return pending_ != 0 || may_read();
}

// Reads from the socket into `chain`, behind a header.
std::uint32_t VsockConnection::read_data(vmm::DescriptorChain& chain) {
  std::vector<iovec> vectors;
  std::size_t skip = sizeof(VsockHeader);
  std::size_t left = std::min<std::size_t>(credit(), kMostData);
  for (const std::span<std::byte> buffer : chain.writable()) {
    const std::size_t start = std::min(skip, buffer.size());
    skip -= start;
    const std::size_t size = std::min(buffer.size() - start, left);
    left -= size;
    if (size > 0 && vectors.size() < IOV_MAX) {
      vectors.push_back({.iov_base = buffer.data() + start, .iov_len = size});
    }
  }
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = vectors.size();
  ssize_t count = 0;
  do {
    count = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT);
  } while (count < 0 && errno == EINTR);
  if (count > 0) {
    return static_cast<std::uint32_t>(count);
  }
  readable_ = false;
  if (count == 0) {
    host_sends_no_more();
  } else if (errno != EAGAIN) {
    reset();
  }
  watch_what_matters();
  return 0;
}

// With what it has sent read. Does it read still?
void VsockConnection::host_sends_no_more() {
  host_ended_ = true;
  pollfd polled{.fd = socket_.get(), .events = 0, .revents = 0};
  if (::poll(&polled, 1, 0) > 0 && (polled.revents & (POLLHUP | POLLERR)) != 0) {
    shutdown_flags_ = kVsockEnds;
    end_with(kVsockShutdown);
  } else if (shutdown_flags_ == 0) {
    shutdown_flags_ = kVsockSendsNoMore;
    pending_ |= bit(kVsockShutdown);
  }
}

std::uint32_t VsockConnection::write_packet(vmm::DescriptorChain& chain, VsockHeader header) {
  // Answers come before data, and data before its end.
  if (const std::uint32_t data = pending_ == 0 && may_read() ? read_data(chain) : 0; data != 0) {
    header.operation = kVsockData;
    header.size = data;
    sent_ += data;
  } else {
    header.operation = next_operation();
  }
  if (header.operation == 0) {
    return 0;
  }
  header.source_port = ports_.host;
  header.target_port = ports_.guest;
  header.type = kVsockStream;
  header.flags = header.operation == kVsockShutdown ? shutdown_flags_ : 0;
  header.buffer_size = kBufferBytes;
  header.forwarded_count = forwarded_;
  told_forwarded_ = forwarded_;
  chain.write(0, std::as_bytes(std::span(&header, 1)));
  return static_cast<std::uint32_t>(sizeof(header)) + header.size;
}

// The control packet to send, which is then no longer pending; 0: none.
std::uint16_t VsockConnection::next_operation() {
  for (std::uint16_t operation = kVsockRequest; operation <= kVsockCreditRequest; ++operation) {
    if ((pending_ & bit(operation)) != 0) {
      pending_ &= ~bit(operation);
      if (state_ == State::kEnding) {
        state_ = State::kEnded;
      }
      return operation;
    }
  }
  return 0;
}

void VsockConnection::reset() {
  end_with(kVsockReset);
}

// Ends it; the guest gets to know by that packet and no other.
void VsockConnection::end_with(std::uint16_t operation) {
  watch_ = {};
  socket_ = {};
  buffered_.clear();
  state_ = State::kEnding;
  pending_ = bit(operation);
}

}  // namespace ensemble::device
