#pragma once

#include <fmt/format.h>

#include <cstring>
#include <expected>
#include <string>
#include <utility>

namespace ensemble {

// Why something failed, as a sentence that a user can act on: what was tried, on what, and why it
// failed. Errors are returned in std::expected and never thrown.
class Error {
 public:
  explicit Error(std::string message) : message_(std::move(message)) {}

  // "<message>: <text of errno>". `error_number` is kept for callers that decide by it.
  static Error from_errno(const std::string& message, int error_number) {
    Error error(message + ": " + std::strerror(error_number));
    error.error_number_ = error_number;
    return error;
  }

  const std::string& message() const { return message_; }

  // The errno behind this error, or 0.
  int error_number() const { return error_number_; }

  // The same error, seen from a caller: "<context>: <message>".
  Error with_context(const std::string& context) const {
    Error error(context + ": " + message_);
    error.error_number_ = error_number_;
    return error;
  }

 private:
  std::string message_;
  int error_number_ = 0;
};

template <typename T>
using Result = std::expected<T, Error>;

// An Error in the form that a function returning Result<T> returns.
template <typename... Arguments>
std::unexpected<Error> fail(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  return std::unexpected(Error(fmt::format(format, std::forward<Arguments>(arguments)...)));
}

}  // namespace ensemble
