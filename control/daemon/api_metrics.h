#pragma once

#include <grpcpp/support/status_code_enum.h>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

namespace ensemble::control {

// "OK", "NOT_FOUND" and so on.
std::string_view code_name(grpc::StatusCode code);

// How the API's calls ended and how long they took, by method. Its series are bounded: methods that
// the API does not have are one. Thread-safe.
class ApiMetrics {
 public:
  ApiMetrics();

  // A call of `path` ("/ensemble.v1.Devices/GetDevice") has ended.
  void count(std::string_view path, grpc::StatusCode code);
  // A unary one has taken so long, from its first byte to its answer.
  void time(std::string_view path, std::chrono::nanoseconds duration);

  const std::shared_ptr<prometheus::Registry>& registry() const { return registry_; }

 private:
  const std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  prometheus::Family<prometheus::Counter>& calls_;
  prometheus::Family<prometheus::Histogram>& durations_;
};

}  // namespace ensemble::control
