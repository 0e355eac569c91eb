#pragma once

#include <fmt/format.h>
#include <grpcpp/support/status.h>

#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include "control/ensemble/v1/errors.pb.h"
#include "vmm/error.h"

namespace ensemble::control {

// Why a call cannot be served: a code, a sentence for people and a detail for programs.
class ApiError {
 public:
  // Messages longer than 1024 bytes are cut off.
  ApiError(grpc::StatusCode code, std::string reason, std::string message);

  // Adds the field at fault, its value and what would have been right, each of 256 bytes at most.
  ApiError&& about(std::string field, std::string value, std::string expected) &&;

  grpc::StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::string& reason() const { return detail_.reason(); }

  // As the status of a call, with the detail.
  grpc::Status to_status() const;
  // As a value in a message.
  v1::Error to_proto() const;

 private:
  grpc::StatusCode code_;
  std::string message_;
  v1::ErrorDetail detail_;
};

template <typename T>
using ApiResult = std::expected<T, ApiError>;

// INVALID_ARGUMENT: "FIELD is 'VALUE', expected EXPECTED".
std::unexpected<ApiError> invalid_argument(std::string field, std::string value,
                                           std::string expected);
// NOT_FOUND: "there is no KIND 'NAME'"; the reason is KIND_NOT_FOUND.
std::unexpected<ApiError> not_found(std::string_view kind, std::string name);
// FAILED_PRECONDITION with `reason` and a sentence.
std::unexpected<ApiError> failed_precondition(std::string reason, std::string message);
// INTERNAL or UNAVAILABLE: something of the daemon's host failed.
std::unexpected<ApiError> internal(const Error& error);
// RESOURCE_EXHAUSTED.
std::unexpected<ApiError> exhausted(std::string reason, std::string message);

}  // namespace ensemble::control
