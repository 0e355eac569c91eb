#include "control/connected_devices.h"

#include <algorithm>
#include <utility>

#include "device-model/network/tap_network.h"
#include "device-model/network/user_network.h"
#include "device-model/virtio/network_device.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;
using Statistic = device::BalloonDevice::Statistic;

Result<std::unique_ptr<device::NetworkBackend>> make_network(const proto::VirtioNetwork& network,
                                                             vmm::EventLoop& loop) {
  if (network.has_tap()) {
    return device::TapNetwork::create(loop, network.tap().name());
  }
  return device::UserNetwork::create(loop);
}

}  // namespace

Result<std::unique_ptr<device::VirtioDevice>> make_network_device(
    const proto::VirtioNetwork& network, vmm::EventLoop& loop) {
  device::MacAddress mac{};
  if (network.mac().size() != mac.size()) {
    return fail("a network device's address has {} bytes, not {}", mac.size(),
                network.mac().size());
  }
  std::ranges::copy(network.mac(), mac.begin());
  auto backend = make_network(network, loop);
  if (!backend) {
    return std::unexpected(backend.error());
  }
  return std::make_unique<device::NetworkDevice>(mac, std::move(*backend));
}

void set_balloon(device::BalloonDevice& balloon, std::uint64_t bytes) {
  balloon.set_target(bytes / device::BalloonDevice::kPageBytes);
}

proto::Balloon measure_balloon(device::BalloonDevice& balloon, bool running) {
  proto::Balloon figures;
  figures.set_target_bytes(balloon.target() * device::BalloonDevice::kPageBytes);
  figures.set_bytes(balloon.size() * device::BalloonDevice::kPageBytes);
  const auto statistic = [&](Statistic which) {
    return balloon.statistics().at(static_cast<std::size_t>(which));
  };
  if (const auto value = statistic(Statistic::kFreeMemory)) {
    figures.set_free_bytes(*value);
  }
  if (const auto value = statistic(Statistic::kAvailableMemory)) {
    figures.set_available_bytes(*value);
  }
  if (const auto value = statistic(Statistic::kTotalMemory)) {
    figures.set_total_bytes(*value);
  }
  if (running) {
    balloon.request_statistics();
  }
  return figures;
}

}  // namespace ensemble::control
