#include "control/daemon/agent_socket.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace ensemble::control {
namespace {

using agent::FrameHeader;

constexpr std::size_t kChunk = std::size_t{256} << 10;
constexpr std::size_t kFramesAtOnce = 16;
// Of the socket's queue towards the device: a few frames.
constexpr int kSendBuffer = 1 << 20;

}  // namespace

Result<std::unique_ptr<AgentSocket>> AgentSocket::create(vmm::EventLoop& loop,
                                                         vmm::FileDescriptor socket,
                                                         Handlers handlers) {
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  std::unique_ptr<AgentSocket> made(new AgentSocket(std::move(socket), std::move(handlers)));
  auto watch = loop.watch(made->socket_.get(), EPOLLIN,
                          [raw = made.get()](std::uint32_t events) { raw->handle(events); });
  if (!watch) {
    return std::unexpected(watch.error());
  }
  made->watch_ = std::move(*watch);
  return made;
}

void AgentSocket::handle(std::uint32_t events) {
  const auto alive = alive_;
  if ((events & EPOLLOUT) != 0) {
    const bool was_congested = is_congested();
    write();
    if (was_congested && !is_congested()) {
      handlers_.drained();
    }
  }
  if (*alive && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
    read();
  }
}

void AgentSocket::read() {
  // Shared by all sockets of the loop's thread: what is left over moves to `input_`.
  static thread_local const std::unique_ptr<char[]> chunk(new char[kChunk]);
  const ssize_t count = ::recv(socket_.get(), chunk.get(), kChunk, MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
    return;
  }
  // A reset: it went without reading all.
  if (count < 0 && errno != ECONNRESET) {
    close(Error::from_errno("cannot read from the device's agent", errno));
    return;
  }
  if (count <= 0) {
    close(std::nullopt);
    return;
  }
  const std::string_view came(chunk.get(), static_cast<std::size_t>(count));
  std::string joined;
  if (!input_.empty()) {
    joined = std::move(input_);
    input_.clear();
    joined += came;
  }
  std::string_view bytes = joined.empty() ? came : std::string_view(joined);
  if (take_frames(bytes)) {
    input_.assign(bytes);
  }
}

// False: this is gone.
bool AgentSocket::take_frames(std::string_view& bytes) {
  const auto alive = alive_;
  FrameHeader header{};
  while (bytes.size() >= sizeof header) {
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.size > agent::kLargestBody) {
      close(Error("the device's agent broke the protocol: a frame is too large"));
      return false;
    }
    if (bytes.size() - sizeof header < header.size) {
      break;
    }
    handlers_.frame(header, bytes.substr(sizeof header, header.size));
    if (!*alive) {
      return false;
    }
    bytes.remove_prefix(sizeof header + header.size);
  }
  return true;
}

void AgentSocket::send(agent::FrameType type, std::uint32_t conversation, std::uint32_t detail,
                       std::string_view body) {
  queue(type, conversation, detail, body);
  if (!waits_to_write_) {
    write();
  }
}

void AgentSocket::queue(agent::FrameType type, std::uint32_t conversation, std::uint32_t detail,
                        std::string_view body) {
  const FrameHeader header{static_cast<std::uint32_t>(body.size()), type, conversation, detail};
  std::string frame;
  frame.reserve(sizeof header + body.size());
  frame.append(reinterpret_cast<const char*>(&header), sizeof header);
  frame.append(body);
  queued_ += frame.size();
  output_.push_back(std::move(frame));
}

// An end of the stream is found by reading.
void AgentSocket::write() {
  while (!output_.empty()) {
    std::array<iovec, kFramesAtOnce> pieces{};
    const std::size_t number = std::min(pieces.size(), output_.size());
    for (std::size_t i = 0; i < number; ++i) {
      const std::size_t skipped = i == 0 ? sent_ : 0;
      pieces[i] = {output_[i].data() + skipped, output_[i].size() - skipped};
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = number;
    const ssize_t count = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      break;
    }
    queued_ -= static_cast<std::size_t>(count);
    sent_ += static_cast<std::size_t>(count);
    while (!output_.empty() && sent_ >= output_.front().size()) {
      sent_ -= output_.front().size();
      output_.pop_front();
    }
  }
  if (waits_to_write_ != !output_.empty()) {
    waits_to_write_ = !output_.empty();
    (void)watch_.set_events(EPOLLIN | (waits_to_write_ ? EPOLLOUT : std::uint32_t{0}));
  }
}

void AgentSocket::close(std::optional<Error> error) {
  watch_ = {};
  const auto closed = handlers_.closed;  // It may destroy this.
  closed(std::move(error));
}

}  // namespace ensemble::control
