#include "control/daemon/device_metrics.h"

#include <google/protobuf/util/time_util.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "control/daemon/device_record.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;
using google::protobuf::util::TimeUtil;

// What is called with all figures when the last one who could add some lets go of it.
struct Collection {
  std::function<void(std::vector<v1::DeviceMetrics> metrics)> done;
  std::vector<v1::DeviceMetrics> metrics;

  Collection() = default;
  Collection(const Collection&) = delete;
  Collection& operator=(const Collection&) = delete;
  ~Collection() { done(std::move(metrics)); }
};

google::protobuf::Duration from_ns(std::uint64_t nanoseconds) {
  return TimeUtil::NanosecondsToDuration(static_cast<std::int64_t>(nanoseconds));
}

google::protobuf::Duration from_us(std::uint64_t microseconds) {
  return TimeUtil::MicrosecondsToDuration(static_cast<std::int64_t>(microseconds));
}

v1::BootMetrics boot_of(const proto::Boot& from) {
  v1::BootMetrics boot;
  if (from.has_machine_started_us()) {
    *boot.mutable_machine_started() = from_us(from.machine_started_us());
  }
  if (from.has_first_driver_us()) {
    *boot.mutable_first_driver() = from_us(from.first_driver_us());
  }
  if (from.has_last_driver_us()) {
    *boot.mutable_last_driver() = from_us(from.last_driver_us());
  }
  return boot;
}

}  // namespace

v1::DeviceMetrics metrics_of(const v1::Device& record) {
  v1::DeviceMetrics metrics;
  metrics.set_name(record.name());
  metrics.set_uid(record.uid());
  metrics.set_state(record.status().state());
  metrics.set_process_id(record.status().process_id());
  return metrics;
}

v1::DeviceMetrics metrics_of(const v1::Device& record, const proto::Measurements& measured) {
  v1::DeviceMetrics metrics = metrics_of(record);
  *metrics.mutable_time() = now();
  metrics.set_touched_bytes(measured.memory().guest_touched_kib() << 10);
  metrics.set_overhead_bytes(measured.memory().vmm_rss_kib() << 10);
  *metrics.mutable_exits() = measured.exits();
  if (measured.version() == 0) {
    return metrics;
  }
  *metrics.mutable_monotonic_time() = from_ns(measured.measured_at_ns());
  *metrics.mutable_processor_time() = from_ns(measured.process_time_ns());
  for (const proto::VirtualProcessor& processor : measured.processors()) {
    *metrics.add_virtual_processor_times() = from_ns(processor.time_ns());
  }
  for (const proto::Queue& from : measured.queues()) {
    v1::QueueMetrics& queue = *metrics.add_queues();
    queue.set_device(from.device());
    queue.set_index(from.index());
    queue.set_waiting(from.waiting());
    queue.set_in_flight(from.in_flight());
    queue.set_completed(from.completed());
  }
  *metrics.mutable_boot() = boot_of(measured.boot());
  return metrics;
}

void measure_devices(const std::vector<ManagedDevice*>& devices,
                     std::function<void(std::vector<v1::DeviceMetrics> metrics)> done) {
  const auto collection = std::make_shared<Collection>();
  collection->done = std::move(done);
  for (const ManagedDevice* device : devices) {
    collection->metrics.push_back(metrics_of(device->record()));
  }
  for (std::size_t i = 0; i < devices.size(); ++i) {
    const v1::DeviceState state = devices[i]->record().status().state();
    if (state != v1::DEVICE_STATE_RUNNING && state != v1::DEVICE_STATE_PAUSED) {
      continue;
    }
    devices[i]->measure(
        [collection, i,
         record = devices[i]->record()](const ApiResult<proto::Measurements>& measured) {
          if (measured) {
            collection->metrics[i] = metrics_of(record, *measured);
          } else {
            collection->metrics[i].set_problem(measured.error().message());
          }
        },
        kMetricsPatience);
  }
}

}  // namespace ensemble::control
