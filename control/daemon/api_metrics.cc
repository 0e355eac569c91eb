#include "control/daemon/api_metrics.h"

#include <array>

#include "control/daemon/method_roles.h"

namespace ensemble::control {
namespace {

constexpr std::array<std::string_view, 17> kCodes = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

// In seconds: what a call on the Unix socket takes, to what waits for devices take.
const prometheus::Histogram::BucketBoundaries kBuckets = {
    0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30};

// The label of a method: without the slash at its beginning.
std::string method_label(std::string_view path) {
  return role_in_table(path) ? std::string(path.substr(1)) : "other";
}

}  // namespace

std::string_view code_name(grpc::StatusCode code) {
  const auto index = static_cast<std::size_t>(code);
  return index < kCodes.size() ? kCodes[index] : "UNKNOWN";
}

ApiMetrics::ApiMetrics()
    : calls_(prometheus::BuildCounter()
                 .Name("ensemble_api_calls_total")
                 .Help("Calls of the API that have ended, by method and status code")
                 .Register(*registry_)),
      durations_(prometheus::BuildHistogram()
                     .Name("ensemble_api_call_duration_seconds")
                     .Help("How long unary calls of the API took to be answered, by method")
                     .Register(*registry_)) {}

void ApiMetrics::count(std::string_view path, grpc::StatusCode code) {
  calls_.Add({{"method", method_label(path)}, {"code", std::string(code_name(code))}}).Increment();
}

void ApiMetrics::time(std::string_view path, std::chrono::nanoseconds duration) {
  durations_.Add({{"method", method_label(path)}}, kBuckets)
      .Observe(std::chrono::duration<double>(duration).count());
}

}  // namespace ensemble::control
