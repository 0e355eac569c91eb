#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "control/daemon/device_filter.h"
#include "control/daemon/device_record.h"
#include "control/daemon/services/calls.h"
#include "control/daemon/services/services.h"
#include "control/ensemble/v1/devices.grpc.pb.h"

namespace ensemble::control {
namespace {

using Context = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;
using Done = ManagedDevice::Done;

// Tells one client of the devices that match, from the beginning of its watch on.
class DeviceWatch : public StreamCall<grpc::ServerWriteReactor<v1::DeviceEvent>, v1::DeviceEvent> {
 public:
  DeviceWatch(ServiceContext& context, Context* call, std::string filter)
      : StreamCall(context.loop, context.closing, call),
        context_(context),
        text_(std::move(filter)) {}

 private:
  void begin() override {
    auto filter = DeviceFilter::parse(text_);
    if (!filter) {
      finish(filter.error().to_status());
      return;
    }
    filter_ = std::move(*filter);
    watch_ = context_.devices.watch([this](v1::DeviceEvent::Kind kind, const v1::Device& device) {
      if (is_current_ || !(place_ < DeviceTable::place_of(device))) {
        tell(kind, device);
      }
    });
    drained();
  }

  void end() override { context_.devices.unwatch(watch_); }

  // What there is goes out at the client's pace; what happens to a device that it has not come to
  // yet, it will find there.
  void drained() override {
    while (!is_current_ && has_room()) {
      const v1::Device* device = context_.devices.next(place_);
      if (device != nullptr) {
        place_ = DeviceTable::place_of(*device);
        tell(v1::DeviceEvent::KIND_ADDED, *device);
        continue;
      }
      is_current_ = true;
      v1::DeviceEvent current;
      current.set_kind(v1::DeviceEvent::KIND_CURRENT);
      *current.mutable_time() = now();
      send(std::move(current));
    }
  }

  void tell(v1::DeviceEvent::Kind kind, const v1::Device& device) {
    const bool matches = kind != v1::DeviceEvent::KIND_DELETED && filter_.matches(device);
    const bool shown = shown_.contains(device.uid());
    if (!matches && !shown) {
      return;
    }
    if (matches) {
      shown_.insert(device.uid());
    } else {
      shown_.erase(device.uid());
    }
    v1::DeviceEvent event;
    event.set_kind(!matches ? v1::DeviceEvent::KIND_DELETED
                   : !shown ? v1::DeviceEvent::KIND_ADDED
                            : v1::DeviceEvent::KIND_CHANGED);
    *event.mutable_device() = device;
    *event.mutable_time() = now();
    send(std::move(event));
  }

  ServiceContext& context_;
  const std::string text_;
  DeviceFilter filter_;
  std::set<std::string> shown_;  // Uids.
  PageStart place_;              // Of the last device that was there and has been looked at.
  bool is_current_ = false;
  std::uint64_t watch_ = 0;
};

class DevicesService final : public v1::Devices::CallbackService {
 public:
  explicit DevicesService(ServiceContext& context) : context_(context) {}

  Unary* CreateDevice(Context* call, const v1::CreateDeviceRequest* request,
                      v1::Device* response) override {
    return serve(context_.loop, call, response,
                 [this, request] { return context_.devices.create(*request); });
  }

  Unary* GetDevice(Context* call, const v1::GetDeviceRequest* request,
                   v1::Device* response) override {
    return serve(context_.loop, call, response, [this, request]() -> ApiResult<v1::Device> {
      const auto device = context_.devices.find_by_digits(request->name());
      if (!device) {
        return std::unexpected(device.error());
      }
      return (*device)->record();
    });
  }

  Unary* ListDevices(Context* call, const v1::ListDevicesRequest* request,
                     v1::ListDevicesResponse* response) override {
    return serve(context_.loop, call, response,
                 [this, request] { return context_.devices.list(*request); });
  }

  Unary* UpdateDevice(Context* call, const v1::UpdateDeviceRequest* request,
                      v1::Device* response) override {
    return serve(context_.loop, call, response,
                 [this, request] { return context_.devices.update(*request); });
  }

  Unary* StartDevice(Context* call, const v1::StartDeviceRequest* request,
                     v1::Operation* response) override {
    return serve(context_.loop, call, response, [this, request] { return start(request->name()); });
  }

  Unary* StopDevice(Context* call, const v1::StopDeviceRequest* request,
                    v1::Operation* response) override {
    return serve(context_.loop, call, response, [this, request]() -> ApiResult<v1::Operation> {
      const auto device = context_.devices.find(request->name());
      if (!device) {
        return std::unexpected(device.error());
      }
      return operate("stop", **device, nullptr, [&](const Done& done) { (*device)->stop(done); });
    });
  }

  Unary* DeleteDevice(Context* call, const v1::DeleteDeviceRequest* request,
                      v1::Operation* response) override {
    return serve(context_.loop, call, response, [this, request]() -> ApiResult<v1::Operation> {
      if (const auto named = context_.devices.find(request->name())) {
        const auto found = under_way_.find({"delete", (*named)->record().uid()});
        if (found != under_way_.end()) {
          return context_.operations.get(found->second);
        }
      }
      const auto device = context_.devices.check_delete(*request);
      if (!device) {
        return std::unexpected(device.error());
      }
      return operate("delete", **device, nullptr,
                     [&](const Done& done) { context_.devices.remove(**device, done); });
    });
  }

  Unary* PauseDevice(Context*, const v1::PauseDeviceRequest* request,
                     v1::Device* response) override {
    return change(request->name(), response, &ManagedDevice::pause);
  }
  Unary* ResumeDevice(Context*, const v1::ResumeDeviceRequest* request,
                      v1::Device* response) override {
    return change(request->name(), response, &ManagedDevice::resume);
  }
  Unary* ResetDevice(Context*, const v1::ResetDeviceRequest* request,
                     v1::Device* response) override {
    return change(request->name(), response, &ManagedDevice::reset);
  }

  grpc::ServerWriteReactor<v1::DeviceEvent>* WatchDevices(
      Context* call, const v1::WatchDevicesRequest* request) override {
    auto* watch = new DeviceWatch(context_, call, request->filter());  // Destroys itself.
    watch->enter();
    return watch;
  }

 private:
  ApiResult<v1::Operation> start(const std::string& name) {
    const auto device = context_.devices.find(name);
    if (!device) {
      return std::unexpected(device.error());
    }
    const v1::Device& record = (*device)->record();
    const std::string uid = record.uid();
    if (const auto found = under_way_.find({"start", uid});
        found != under_way_.end() && record.status().state() == v1::DEVICE_STATE_STARTING) {
      return context_.operations.get(found->second);
    }
    const auto cancel = [this, key = record.name(), uid] {
      const auto found = context_.devices.find(key);
      if (found && (*found)->record().uid() == uid) {
        (*found)->stop([](const ApiResult<void>&) {});
      }
    };
    return operate("start", **device, cancel, [&](const Done& done) { (*device)->start(done); });
  }

  // Does `work` as an operation. What is refused at once is the call's own error.
  template <typename Work>
  ApiResult<v1::Operation> operate(const std::string& verb, const ManagedDevice& device,
                                   std::function<void()> cancel, Work work) {
    const std::pair key(verb, device.record().uid());
    auto name = context_.operations.begin(verb, device.record().name(), std::move(cancel));
    if (!name) {
      return std::unexpected(name.error());
    }
    struct Progress {
      bool at_once = true;
      ApiResult<void> refused;
    };
    const auto progress = std::make_shared<Progress>();
    work([this, progress, key, name = *name](const ApiResult<void>& result) {
      if (!result && progress->at_once) {
        progress->refused = result;
        return;
      }
      context_.operations.end(name, result);
      if (const auto found = under_way_.find(key);
          found != under_way_.end() && found->second == name) {
        under_way_.erase(found);
      }
    });
    progress->at_once = false;
    if (!progress->refused) {
      context_.operations.discard(*name);
      return std::unexpected(progress->refused.error());
    }
    auto operation = context_.operations.get(*name);
    if (operation && !operation->done()) {
      under_way_[key] = *name;
    }
    return operation;
  }

  Unary* change(const std::string& name, v1::Device* response,
                void (ManagedDevice::*action)(Done done)) {
    return serve_later(context_.loop, context_.closing, response, [this, name, action](auto done) {
      const auto device = context_.devices.find(name);
      if (!device) {
        done(std::unexpected(device.error()));
        return;
      }
      const std::string key = (*device)->record().name();
      ((*device)->*action)([this, key, done](const ApiResult<void>& changed) {
        const auto found = changed ? context_.devices.find(key)
                                   : ApiResult<ManagedDevice*>(std::unexpected(changed.error()));
        if (found) {
          done((*found)->record());
        } else {
          done(std::unexpected(found.error()));
        }
      });
    });
  }

  ServiceContext& context_;
  // Names of operations, by their verbs and their devices' uids.
  std::map<std::pair<std::string, std::string>, std::string> under_way_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_devices_service(ServiceContext& context) {
  return std::make_unique<DevicesService>(context);
}

}  // namespace ensemble::control
