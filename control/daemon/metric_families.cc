#include "control/daemon/metric_families.h"

#include <google/protobuf/util/time_util.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "control/daemon/device_record.h"
#include "control/small_file.h"
#include "control/version.h"

namespace ensemble::control {
namespace {

using google::protobuf::util::TimeUtil;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

constexpr double kNanosecond = 1e-9;

MetricFamily family(std::string name, MetricType type, std::string help) {
  return {.name = std::move(name), .help = std::move(help), .type = type, .metric = {}};
}

void add(MetricFamily& to, Labels labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  (to.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  to.metric.push_back(std::move(metric));
}

double seconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(TimeUtil::DurationToNanoseconds(duration)) * kNanosecond;
}

std::string lower_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char letter) {
    return static_cast<char>(std::tolower(letter));
  });
  return text;
}

// The families of devices, filled device by device.
class DeviceFamilies {
 public:
  void add_device(const v1::DeviceMetrics& device) {
    const Labels labels = {{.name = "device", .value = device.name().substr(kDevicePrefix.size())},
                           {.name = "uid", .value = device.uid()}};
    ++states_[device.state()];
    if (!device.has_time()) {
      if (!device.problem().empty()) {
        add(answers_, labels, 0);
      }
      return;
    }
    add(answers_, labels, 1);
    if (device.has_monotonic_time()) {
      add_counters(device, labels);
    }
  }

  std::vector<MetricFamily> take() {
    for (int state = v1::DeviceState_MIN + 1; state <= v1::DeviceState_MAX; ++state) {
      const auto each = static_cast<v1::DeviceState>(state);
      add(devices_, {{.name = "state", .value = lower_case(state_name(each))}},
          static_cast<double>(states_[each]));
    }
    std::vector<MetricFamily> families;
    for (MetricFamily* each :
         {&devices_, &answers_, &process_time_, &vcpu_time_, &exits_, &touched_, &overhead_,
          &waiting_, &in_flight_, &completed_, &boot_}) {
      if (!each->metric.empty()) {
        families.push_back(std::move(*each));
      }
    }
    return families;
  }

 private:
  static Labels with(Labels labels, std::string name, std::string value) {
    labels.push_back({.name = std::move(name), .value = std::move(value)});
    return labels;
  }

  void add_counters(const v1::DeviceMetrics& device, const Labels& labels) {
    add(process_time_, labels, seconds(device.processor_time()));
    add(touched_, labels, static_cast<double>(device.touched_bytes()));
    add(overhead_, labels, static_cast<double>(device.overhead_bytes()));
    for (int i = 0; i < device.virtual_processor_times_size(); ++i) {
      add(vcpu_time_, with(labels, "vcpu", std::to_string(i)),
          seconds(device.virtual_processor_times(i)));
    }
    const std::map<std::string, std::uint64_t> exits(device.exits().begin(), device.exits().end());
    for (const auto& [reason, count] : exits) {
      add(exits_, with(labels, "reason", reason), static_cast<double>(count));
    }
    for (const v1::QueueMetrics& queue : device.queues()) {
      const Labels of_queue =
          with(with(labels, "virtio", queue.device()), "queue", std::to_string(queue.index()));
      add(waiting_, of_queue, queue.waiting());
      add(in_flight_, of_queue, queue.in_flight());
      add(completed_, of_queue, static_cast<double>(queue.completed()));
    }
    const v1::BootMetrics& boot = device.boot();
    const std::pair<const char*, const google::protobuf::Duration*> phases[] = {
        {"machine_started", boot.has_machine_started() ? &boot.machine_started() : nullptr},
        {"first_driver", boot.has_first_driver() ? &boot.first_driver() : nullptr},
        {"last_driver", boot.has_last_driver() ? &boot.last_driver() : nullptr}};
    for (const auto& [phase, time] : phases) {
      if (time != nullptr) {
        add(boot_, with(labels, "phase", phase), seconds(*time));
      }
    }
  }

  std::map<v1::DeviceState, std::size_t> states_;
  MetricFamily devices_ = family("ensemble_devices", MetricType::Gauge, "Devices, by state");
  MetricFamily answers_ = family(
      "ensemble_device_answers", MetricType::Gauge,
      "Whether the process of a device that runs answers; without it, its figures are not here");
  MetricFamily process_time_ =
      family("ensemble_device_process_cpu_seconds_total", MetricType::Counter,
             "Processor time of all threads of the device's process");
  MetricFamily vcpu_time_ =
      family("ensemble_device_vcpu_seconds_total", MetricType::Counter,
             "Processor time of a virtual processor's thread, in the guest and around it");
  MetricFamily exits_ = family("ensemble_device_exits_total", MetricType::Counter,
                               "Exits from the guest to the device's process, by reason");
  MetricFamily touched_ = family("ensemble_device_memory_touched_bytes", MetricType::Gauge,
                                 "Guest RAM that is backed by host memory");
  MetricFamily overhead_ = family("ensemble_device_memory_overhead_bytes", MetricType::Gauge,
                                  "Resident memory of the device's process without guest RAM");
  MetricFamily waiting_ =
      family("ensemble_device_virtqueue_waiting", MetricType::Gauge,
             "Buffers that the guest has made available and the device has not taken");
  MetricFamily in_flight_ = family("ensemble_device_virtqueue_in_flight", MetricType::Gauge,
                                   "Requests that the device has taken and not finished");
  MetricFamily completed_ = family("ensemble_device_virtqueue_requests_total", MetricType::Counter,
                                   "Requests that the device has finished");
  MetricFamily boot_ = family(
      "ensemble_device_boot_seconds", MetricType::Gauge,
      "When the guest came to a phase of its boot, from its process's start or its reset on");
};

// Resident bytes; 0: not known.
double resident_bytes() {
  const auto text = read_small_file("/proc/self/statm");
  if (!text) {
    return 0;
  }
  char* rest = nullptr;
  (void)std::strtoull(text->c_str(), &rest, 10);  // The size of the address space.
  return static_cast<double>(std::strtoull(rest, nullptr, 10)) *
         static_cast<double>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

std::vector<MetricFamily> device_families(const std::vector<v1::DeviceMetrics>& devices) {
  DeviceFamilies families;
  std::ranges::for_each(devices, [&](const auto& device) { families.add_device(device); });
  return families.take();
}

std::vector<MetricFamily> process_families() {
  MetricFamily resident =
      family("process_resident_memory_bytes", MetricType::Gauge, "Resident memory of the daemon");
  add(resident, {}, resident_bytes());
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  MetricFamily processor =
      family("process_cpu_seconds_total", MetricType::Counter, "Processor time of the daemon");
  add(processor, {},
      static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * kNanosecond);
  MetricFamily version =
      family("ensemble_build_info", MetricType::Gauge, "Always 1, with the daemon's version");
  add(version, {{.name = "version", .value = kVersion}}, 1);
  return {std::move(resident), std::move(processor), std::move(version)};
}

}  // namespace ensemble::control
