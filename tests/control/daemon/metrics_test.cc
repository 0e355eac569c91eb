// What Prometheus is shown, and what is counted of calls.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

#include <string>
#include <vector>

#include "control/daemon/api_metrics.h"
#include "control/daemon/device_metrics.h"
#include "control/daemon/metric_families.h"
#include "control/daemon/metrics_port.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;
using testing::HasSubstr;
using testing::Not;

v1::Device running_device(const std::string& name) {
  v1::Device device;
  device.set_name("devices/" + name);
  device.set_uid("0123456789abcdef0123456789abcdef");
  device.mutable_status()->set_state(v1::DEVICE_STATE_RUNNING);
  device.mutable_status()->set_process_id(42);
  return device;
}

proto::Measurements measurements() {
  proto::Measurements measured;
  measured.set_version(1);
  measured.set_measured_at_ns(5'000'000'000);
  measured.set_process_time_ns(2'500'000'000);
  measured.mutable_memory()->set_guest_touched_kib(2048);
  measured.mutable_memory()->set_vmm_rss_kib(1024);
  (*measured.mutable_exits())["mmio_read"] = 7;
  measured.add_processors()->set_time_ns(1'500'000'000);
  measured.add_processors()->set_time_ns(0);
  measured.mutable_boot()->set_first_driver_us(12'000);
  proto::Queue& queue = *measured.add_queues();
  queue.set_device("console");
  queue.set_index(1);
  queue.set_waiting(3);
  queue.set_in_flight(2);
  queue.set_completed(99);
  return measured;
}

std::string to_text(const std::vector<prometheus::MetricFamily>& families) {
  return prometheus::TextSerializer().Serialize(families);
}

TEST(DeviceMetrics, AreWhatTheProcessTells) {
  const v1::DeviceMetrics metrics = metrics_of(running_device("one"), measurements());
  EXPECT_EQ(metrics.name(), "devices/one");
  EXPECT_EQ(metrics.process_id(), 42U);
  EXPECT_EQ(metrics.monotonic_time().seconds(), 5);
  EXPECT_EQ(metrics.processor_time().nanos(), 500'000'000);
  EXPECT_EQ(metrics.virtual_processor_times_size(), 2);
  EXPECT_EQ(metrics.touched_bytes(), 2U << 20);
  EXPECT_EQ(metrics.queues(0).completed(), 99U);
  EXPECT_EQ(metrics.boot().first_driver().nanos(), 12'000'000);
  EXPECT_FALSE(metrics.boot().has_last_driver());
}

TEST(DeviceMetrics, AreAbsentWhereTheProcessDoesNotTell) {
  const v1::DeviceMetrics metrics = metrics_of(running_device("one"), proto::Measurements());
  EXPECT_TRUE(metrics.has_time());
  EXPECT_FALSE(metrics.has_monotonic_time());
  EXPECT_FALSE(metrics.has_processor_time());
  EXPECT_FALSE(metrics.has_boot());
  const std::string text = to_text(device_families({metrics}));
  EXPECT_THAT(text, HasSubstr("ensemble_device_answers{"));
  EXPECT_THAT(text, Not(HasSubstr("cpu_seconds")));
  EXPECT_THAT(text, Not(HasSubstr("touched")));
}

TEST(MetricFamilies, NameEachFigure) {
  const std::string text =
      to_text(device_families({metrics_of(running_device("one"), measurements())}));
  const std::string of = "device=\"one\",uid=\"0123456789abcdef0123456789abcdef\"";
  const std::vector<std::string> lines = {
      "ensemble_devices{state=\"running\"} 1",
      "ensemble_devices{state=\"failed\"} 0",
      "# TYPE ensemble_device_vcpu_seconds_total counter",
      "ensemble_device_answers{" + of + "} 1",
      "ensemble_device_process_cpu_seconds_total{" + of + "} 2.5",
      "ensemble_device_vcpu_seconds_total{" + of + ",vcpu=\"0\"} 1.5",
      "ensemble_device_vcpu_seconds_total{" + of + ",vcpu=\"1\"} 0",
      "ensemble_device_exits_total{" + of + ",reason=\"mmio_read\"} 7",
      "ensemble_device_memory_touched_bytes{" + of + "} 2097152",
      "ensemble_device_virtqueue_waiting{" + of + ",virtio=\"console\",queue=\"1\"} 3",
      "ensemble_device_virtqueue_in_flight{" + of + ",virtio=\"console\",queue=\"1\"} 2",
      "ensemble_device_virtqueue_requests_total{" + of + ",virtio=\"console\",queue=\"1\"} 99",
      "ensemble_device_boot_seconds{" + of + ",phase=\"first_driver\"} 0.012"};
  for (const std::string& line : lines) {
    EXPECT_THAT(text, HasSubstr(line + (line.starts_with('#') ? "" : "\n")));
  }
  EXPECT_THAT(text, Not(HasSubstr("last_driver")));
}

TEST(MetricFamilies, TellOfDevicesWithoutFigures) {
  v1::Device stopped = running_device("stopped");
  stopped.mutable_status()->set_state(v1::DEVICE_STATE_STOPPED);
  v1::DeviceMetrics silent = metrics_of(running_device("silent"));
  silent.set_problem("it does not answer");
  const std::string text = to_text(device_families({metrics_of(stopped), silent}));
  EXPECT_THAT(text, HasSubstr("ensemble_devices{state=\"stopped\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("ensemble_device_answers{device=\"silent\",uid=\"" + silent.uid() +
                              "\"} 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("device=\"stopped\"")));
}

TEST(MetricFamilies, TellOfTheDaemonItself) {
  const std::string text = to_text(process_families());
  EXPECT_THAT(text, HasSubstr("process_resident_memory_bytes "));
  EXPECT_THAT(text, Not(HasSubstr("process_resident_memory_bytes 0")));
  EXPECT_THAT(text, HasSubstr("ensemble_build_info{version=\""));
}

TEST(ApiMetrics, CountsByMethodAndCode) {
  ApiMetrics metrics;
  metrics.count("/ensemble.v1.Devices/GetDevice", grpc::OK);
  metrics.count("/ensemble.v1.Devices/GetDevice", grpc::NOT_FOUND);
  metrics.count("/ensemble.v1.Devices/GetDevice", grpc::NOT_FOUND);
  metrics.time("/ensemble.v1.Devices/GetDevice", std::chrono::microseconds(300));
  const std::string text = to_text(metrics.registry()->Collect());
  const std::string method = "method=\"ensemble.v1.Devices/GetDevice\"";
  EXPECT_THAT(text, HasSubstr("code=\"NOT_FOUND\"," + method + "} 2\n"));
  EXPECT_THAT(text, HasSubstr("code=\"OK\"," + method + "} 1\n"));
  EXPECT_THAT(text, HasSubstr("_seconds_bucket{" + method + ",le=\"0.00025\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("_seconds_bucket{" + method + ",le=\"0.0005\"} 1\n"));
}

TEST(ApiMetrics, DoesNotGrowWithWhatStrangersCall) {
  ApiMetrics metrics;
  for (int i = 0; i < 1000; ++i) {
    metrics.count("/no.such.Service/Method" + std::to_string(i), grpc::UNAUTHENTICATED);
    metrics.count("", static_cast<grpc::StatusCode>(1000 + i));
  }
  std::size_t series = 0;
  for (const auto& family : metrics.registry()->Collect()) {
    series += family.metric.size();
  }
  EXPECT_EQ(series, 2U);
}

TEST(MetricsPort, IsOnLoopbackOnly) {
  struct Case {
    const char* text;
    const char* taken;  // Null: it is refused.
  };
  for (const auto& [text, taken] :
       {Case{"9464", "127.0.0.1:9464"}, Case{"0", "127.0.0.1:0"},
        Case{"127.9.9.9:1", "127.9.9.9:1"}, Case{"[::1]:80", nullptr},
        Case{"0.0.0.0:9464", nullptr}, Case{"[::]:9464", nullptr}, Case{"192.0.2.1:80", nullptr},
        Case{"65536", nullptr}, Case{"", nullptr}, Case{"localhost:80", nullptr},
        Case{"127.0.0.1", nullptr}}) {
    const auto address = parse_metrics_address(text);
    EXPECT_EQ(address.has_value(), taken != nullptr) << text;
    if (address && taken != nullptr) {
      EXPECT_EQ(address->text(), taken);
    }
  }
  EXPECT_THAT(parse_metrics_address("0.0.0.0:9464").error().message(),
              HasSubstr("expected 127.0.0.1:9464"));
}

}  // namespace
}  // namespace ensemble::control
