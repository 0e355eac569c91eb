#include "control/message_stream.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace ensemble::control {
namespace {

constexpr std::size_t kPrefixSize = 4;

std::uint32_t decode_length(const char* bytes) {
  std::uint32_t length = 0;
  for (std::size_t i = kPrefixSize; i-- > 0;) {
    length = length << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return length;
}

void append_length(std::string& bytes, std::size_t length) {
  for (std::size_t i = 0; i < kPrefixSize; ++i) {
    bytes.push_back(static_cast<char>(length >> (8 * i) & 0xff));
  }
}

}  // namespace

Result<void> append_message(std::string& bytes, const google::protobuf::MessageLite& message) {
  const std::size_t size = message.ByteSizeLong();
  if (size > kLargestMessage) {
    return fail("a message of {} bytes exceeds the limit of {} bytes", size, kLargestMessage);
  }
  bytes.reserve(bytes.size() + kPrefixSize + size);
  append_length(bytes, size);
  if (!message.AppendToString(&bytes)) {
    return fail("cannot encode a {} message", message.GetTypeName());
  }
  return {};
}

Result<void> write_message(int descriptor, const google::protobuf::MessageLite& message) {
  std::string bytes;
  if (auto encoded = append_message(bytes, message); !encoded) {
    return encoded;
  }
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const ssize_t written = ::send(descriptor, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (written >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd writable{.fd = descriptor, .events = POLLOUT, .revents = 0};
      ::poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      return std::unexpected(Error::from_errno("cannot write to the control socket", errno));
    }
  }
  return {};
}

Result<MessageReader::Input> MessageReader::fill(int descriptor) {
  std::array<char, 16384> chunk;
  const ssize_t count = ::recv(descriptor, chunk.data(), chunk.size(), MSG_DONTWAIT);
  if (count > 0) {
    buffer_.append(chunk.data(), static_cast<std::size_t>(count));
    return Input::kBytes;
  }
  // A peer that was killed with our bytes unread shows as ECONNRESET: its end all the same.
  if (count == 0 || errno == ECONNRESET) {
    return Input::kEnd;
  }
  if (errno == EAGAIN || errno == EINTR) {
    return Input::kNothingYet;
  }
  return std::unexpected(Error::from_errno("cannot read from the control socket", errno));
}

Result<bool> MessageReader::take(google::protobuf::MessageLite& message) {
  const std::string_view pending = std::string_view(buffer_).substr(consumed_);
  if (pending.size() < kPrefixSize) {
    return false;
  }
  const std::size_t length = decode_length(pending.data());
  if (length > kLargestMessage) {
    return fail("the control socket announces a message of {} bytes; the limit is {} bytes", length,
                kLargestMessage);
  }
  if (pending.size() - kPrefixSize < length) {
    return false;
  }
  if (!message.ParseFromArray(pending.data() + kPrefixSize, static_cast<int>(length))) {
    return fail("the control socket carried {} bytes that are no {} message", length,
                message.GetTypeName());
  }
  consumed_ += kPrefixSize + length;
  if (consumed_ == buffer_.size()) {
    buffer_.clear();
    consumed_ = 0;
  } else if (consumed_ > 65536) {
    buffer_.erase(0, consumed_);
    consumed_ = 0;
  }
  return true;
}

}  // namespace ensemble::control
