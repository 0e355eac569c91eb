#include "control/daemon/metrics_port.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <exception>
#include <future>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "control/daemon/device_metrics.h"
#include "control/daemon/metric_families.h"

namespace ensemble::control {
namespace {

// How long the loop and the devices' processes together may take.
constexpr std::chrono::seconds kCollectPatience{4};

// Of the HTTP server: how many it serves at once, how many wait for that, and how long, in ms, a
// client may take for its request.
const std::vector<std::string> kLimits = {"num_threads",        "2",    "connection_queue", "16",
                                          "request_timeout_ms", "5000", "max_request_size", "4096",
                                          "enable_keep_alive",  "no"};

std::vector<ManagedDevice*> all_devices(const DeviceTable& table) {
  std::vector<ManagedDevice*> devices;
  PageStart place;
  while (const v1::Device* record = table.next(place)) {
    place = DeviceTable::place_of(*record);
    if (const auto device = table.find(record->name())) {
      devices.push_back(*device);
    }
  }
  return devices;
}

}  // namespace

// Collects on a thread of the HTTP server what the loop's thread knows.
class MetricsPort::Source final : public prometheus::Collectable {
 public:
  Source(vmm::EventLoop& loop, DeviceTable& devices) : loop_(loop), devices_(devices) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    using Figures = std::vector<v1::DeviceMetrics>;
    const auto promise = std::make_shared<std::promise<Figures>>();
    std::future<Figures> figures = promise->get_future();
    loop_.post([&devices = devices_, promise] {
      measure_devices(all_devices(devices),
                      [promise](Figures measured) { promise->set_value(std::move(measured)); });
    });
    auto families = process_families();
    // A loop that has ended answers no more.
    if (figures.wait_for(kCollectPatience) == std::future_status::ready) {
      std::ranges::move(device_families(figures.get()), std::back_inserter(families));
    }
    return families;
  }

 private:
  vmm::EventLoop& loop_;
  DeviceTable& devices_;
};

Result<TcpAddress> parse_metrics_address(std::string_view text) {
  const bool is_port =
      !text.empty() && std::ranges::all_of(text, [](unsigned char c) { return std::isdigit(c); });
  auto address = parse_tcp_address(is_port ? "127.0.0.1:" + std::string(text) : std::string(text));
  if (address && address->is_version_6) {
    return fail(
        "{} is of version 6, which Debian's HTTP server does not have; expected 127.0.0.1:{}",
        address->text(), address->port);
  }
  if (address && !address->is_loopback) {
    return fail(
        "{} is no address of loopback, and who reads figures is not asked who they are; "
        "expected 127.0.0.1:{}",
        address->text(), address->port);
  }
  return address;
}

Result<std::unique_ptr<MetricsPort>> MetricsPort::create(TcpAddress& address, vmm::EventLoop& loop,
                                                         DeviceTable& devices,
                                                         const ApiMetrics& api_metrics) {
  // The HTTP server does not say why it cannot have a port.
  TcpAddress tried = address;
  if (const auto listens = listen_at(tried); !listens) {
    return std::unexpected(listens.error().with_context("--metrics"));
  }
  std::unique_ptr<MetricsPort> port(new MetricsPort());
  std::vector<std::string> options = kLimits;
  options.insert(options.end(), {"listening_ports", address.text()});
  try {
    port->exposer_ = std::make_unique<prometheus::Exposer>(options);
    address.port = static_cast<std::uint16_t>(port->exposer_->GetListeningPorts().at(0));
  } catch (const std::exception& error) {
    return fail("--metrics: cannot serve HTTP on {}: {}", address.text(), error.what());
  }
  port->source_ = std::make_shared<Source>(loop, devices);
  port->exposer_->RegisterCollectable(port->source_);
  port->exposer_->RegisterCollectable(api_metrics.registry());
  return port;
}

MetricsPort::~MetricsPort() = default;

}  // namespace ensemble::control
