#include "control/daemon/api_error.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <cctype>

namespace ensemble::control {
namespace {

// In bytes. A status travels in HTTP/2 trailers, of which a client takes in 8 KiB: a message is in
// there twice, once with each byte beyond ASCII as three, once in base 64.
constexpr std::size_t kLongestMessage = 1024;
constexpr std::size_t kLongestValue = 256;

// `text`, cut off at the end of a UTF-8 character.
std::string shortened(std::string text, std::size_t longest) {
  if (text.size() > longest) {
    constexpr std::string_view kDots = "...";
    std::size_t end = longest - kDots.size();
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) {
      --end;
    }
    text.replace(end, std::string::npos, kDots);
  }
  return text;
}

// google.rpc.Status: int32 code = 1; string message = 2; repeated Any details = 3. Debian has no
// package with that definition, so it is written as it looks on the wire.
std::string encode_status(int code, const std::string& message, const v1::ErrorDetail& detail) {
  google::protobuf::Any any;
  any.PackFrom(detail);
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream output(&stream);
    constexpr std::uint32_t kCode = 1 << 3;
    constexpr std::uint32_t kMessage = 2 << 3 | 2;
    constexpr std::uint32_t kDetails = 3 << 3 | 2;
    output.WriteTag(kCode);
    output.WriteVarint32(static_cast<std::uint32_t>(code));
    output.WriteTag(kMessage);
    output.WriteVarint32(static_cast<std::uint32_t>(message.size()));
    output.WriteString(message);
    const std::string packed = any.SerializeAsString();
    output.WriteTag(kDetails);
    output.WriteVarint32(static_cast<std::uint32_t>(packed.size()));
    output.WriteString(packed);
  }
  return bytes;
}

}  // namespace

ApiError::ApiError(grpc::StatusCode code, std::string reason, std::string message)
    : code_(code), message_(shortened(std::move(message), kLongestMessage)) {
  detail_.set_reason(std::move(reason));
}

ApiError&& ApiError::about(std::string field, std::string value, std::string expected) && {
  detail_.set_field(shortened(std::move(field), kLongestValue));
  detail_.set_value(shortened(std::move(value), kLongestValue));
  detail_.set_expected(shortened(std::move(expected), kLongestValue));
  return std::move(*this);
}

grpc::Status ApiError::to_status() const {
  return {code_, message_, encode_status(code_, message_, detail_)};
}

v1::Error ApiError::to_proto() const {
  v1::Error error;
  error.set_code(code_);
  error.set_message(message_);
  *error.mutable_detail() = detail_;
  return error;
}

std::unexpected<ApiError> invalid_argument(std::string field, std::string value,
                                           std::string expected) {
  std::string message =
      fmt::format("{} is '{}', expected {}", field, shortened(value, kLongestValue), expected);
  return std::unexpected(ApiError(grpc::INVALID_ARGUMENT, "INVALID_ARGUMENT", std::move(message))
                             .about(std::move(field), std::move(value), std::move(expected)));
}

std::unexpected<ApiError> not_found(std::string_view kind, std::string name) {
  std::string reason(kind);
  std::ranges::transform(reason, reason.begin(), [](unsigned char letter) {
    return static_cast<char>(std::toupper(letter));
  });
  std::string message = fmt::format("there is no {} '{}'", kind, shortened(name, kLongestValue));
  return std::unexpected(ApiError(grpc::NOT_FOUND, reason + "_NOT_FOUND", std::move(message))
                             .about("name", std::move(name), {}));
}

std::unexpected<ApiError> failed_precondition(std::string reason, std::string message) {
  return std::unexpected(
      ApiError(grpc::FAILED_PRECONDITION, std::move(reason), std::move(message)));
}

std::unexpected<ApiError> internal(const Error& error) {
  return std::unexpected(ApiError(grpc::INTERNAL, "INTERNAL", error.message()));
}

std::unexpected<ApiError> exhausted(std::string reason, std::string message) {
  return std::unexpected(ApiError(grpc::RESOURCE_EXHAUSTED, std::move(reason), std::move(message)));
}

}  // namespace ensemble::control
