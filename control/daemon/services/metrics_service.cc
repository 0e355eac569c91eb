#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control/daemon/device_metrics.h"
#include "control/daemon/services/calls.h"
#include "control/daemon/services/services.h"
#include "control/ensemble/v1/metrics.grpc.pb.h"

namespace ensemble::control {
namespace {

using Context = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;

constexpr int kMostNames = 1000;

class MetricsService final : public v1::Metrics::CallbackService {
 public:
  explicit MetricsService(ServiceContext& context) : context_(context) {}

  Unary* ListDeviceMetrics(Context*, const v1::ListDeviceMetricsRequest* request,
                           v1::ListDeviceMetricsResponse* response) override {
    return serve_later(context_.loop, context_.closing, response, [this, request](auto done) {
      std::string next;
      const auto devices = choose(*request, next);
      if (!devices) {
        done(std::unexpected(devices.error()));
        return;
      }
      measure_devices(*devices, [next, done](std::vector<v1::DeviceMetrics> metrics) {
        v1::ListDeviceMetricsResponse page;
        for (v1::DeviceMetrics& each : metrics) {
          *page.add_metrics() = std::move(each);
        }
        page.set_next_page_token(next);
        done(std::move(page));
      });
    });
  }

 private:
  // The devices of a page; `next` becomes its next_page_token.
  ApiResult<std::vector<ManagedDevice*>> choose(const v1::ListDeviceMetricsRequest& request,
                                                std::string& next) const {
    std::vector<std::string> names(request.names().begin(), request.names().end());
    if (names.empty()) {
      v1::ListDevicesRequest list;
      list.set_page_size(request.page_size());
      list.set_page_token(request.page_token());
      list.set_filter(request.filter());
      const auto page = context_.devices.list(list);
      if (!page) {
        return std::unexpected(page.error());
      }
      for (const v1::Device& device : page->devices()) {
        names.push_back(device.name());
      }
      next = page->next_page_token();
    } else if (request.names_size() > kMostNames) {
      return invalid_argument("names", std::to_string(request.names_size()) + " names",
                              "at most 1000");
    } else if (!request.filter().empty() || !request.page_token().empty() ||
               request.page_size() != 0) {
      return invalid_argument("names", names.front(), "no filter and no page beside it");
    }
    std::vector<ManagedDevice*> devices;
    for (const std::string& name : names) {
      const auto device = context_.devices.find(name);
      if (!device) {
        return std::unexpected(device.error());
      }
      devices.push_back(*device);
    }
    return devices;
  }

  ServiceContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_metrics_service(ServiceContext& context) {
  return std::make_unique<MetricsService>(context);
}

}  // namespace ensemble::control
