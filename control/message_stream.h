#pragma once

#include <google/protobuf/message_lite.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "vmm/error.h"

namespace ensemble::control {

// The version of ensemble.vmm.v1 that both sides of this build speak.
inline constexpr std::uint32_t kProtocolVersion = 1;

// The longest message that either side accepts, in bytes.
inline constexpr std::size_t kLargestMessage = std::size_t{16} << 20;

// Appends `message` to `bytes`, preceded by its length as a 32-bit little-endian integer.
Result<void> append_message(std::string& bytes, const google::protobuf::MessageLite& message);

// Writes `message` to the socket `descriptor`, preceded by its length as a 32-bit little-endian
// integer. Blocks until everything is written. Never raises SIGPIPE.
Result<void> write_message(int descriptor, const google::protobuf::MessageLite& message);

// Cuts the bytes that arrive on a stream socket into messages. Holds at most one message and what
// one read brings beyond it. Not thread-safe.
class MessageReader {
 public:
  enum class Input { kBytes, kNothingYet, kEnd };

  // Reads once from the socket `descriptor`, without blocking.
  Result<Input> fill(int descriptor);

  // Takes the next complete message: true and its contents in `message`, or false when more bytes
  // are needed. A length beyond kLargestMessage and contents that are no such message are errors,
  // after which the stream is of no more use.
  Result<bool> take(google::protobuf::MessageLite& message);

  // Whether no part of a message is waiting for the rest.
  bool empty() const { return consumed_ == buffer_.size(); }

  // Adds bytes as if they had been read.
  void append(std::string_view bytes) { buffer_.append(bytes); }

 private:
  std::string buffer_;
  std::size_t consumed_ = 0;
};

}  // namespace ensemble::control
