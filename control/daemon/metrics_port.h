#pragma once

#include <prometheus/exposer.h>

#include <memory>
#include <string_view>

#include "control/daemon/api_metrics.h"
#include "control/daemon/device_table.h"
#include "control/daemon/tcp_options.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"

namespace ensemble::control {

// "PORT" or "ADDRESS:PORT" with an address of loopback; the Error says which are taken.
Result<TcpAddress> parse_metrics_address(std::string_view text);

// A port where Prometheus reads figures over HTTP, at /metrics. Any process of the host may: hence
// figures only, on loopback only, by two threads, with a queue and times that are bounded.
class MetricsPort {
 public:
  // Serves at `address`, whose port 0 is replaced by the one that was given. `loop` and `devices`
  // outlive it. The Error says why it cannot.
  static Result<std::unique_ptr<MetricsPort>> create(TcpAddress& address, vmm::EventLoop& loop,
                                                     DeviceTable& devices,
                                                     const ApiMetrics& api_metrics);

  // Waits for who is being served: not on the loop's thread while the loop goes on.
  ~MetricsPort();

 private:
  class Source;
  MetricsPort() = default;

  std::shared_ptr<Source> source_;
  std::unique_ptr<prometheus::Exposer> exposer_;  // Destroyed before the source.
};

}  // namespace ensemble::control
