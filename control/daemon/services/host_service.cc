#include <sys/utsname.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "control/daemon/device_metrics.h"
#include "control/daemon/host_topology.h"
#include "control/daemon/services/calls.h"
#include "control/daemon/services/services.h"
#include "control/ensemble/v1/host.grpc.pb.h"
#include "control/installation.h"
#include "control/small_file.h"
#include "control/version.h"
#include "vmm/kvm_kind.h"

namespace ensemble::control {
namespace {

using Context = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;

std::uint64_t available_memory() {
  const auto text = read_small_file("/proc/meminfo");
  constexpr const char* kKey = "MemAvailable:";
  const std::size_t at = text ? text->find(kKey) : std::string::npos;
  return at == std::string::npos
             ? 0
             : std::strtoull(text->c_str() + at + std::string_view(kKey).size(), nullptr, 10) << 10;
}

class HostService final : public v1::Host::CallbackService {
 public:
  explicit HostService(ServiceContext& context) : context_(context) {}

  Unary* GetHost(Context*, const v1::GetHostRequest*, v1::HostInformation* response) override {
    return serve_later(context_.loop, context_.closing, response, [this](auto done) {
      const auto files = InstallationFiles::locate();
      topology_.ask(context_.loop, files ? files->libvirt_executable() : "ensemble-libvirt",
                    [this, done](const v1::HostTopology& topology) { done(describe(topology)); });
    });
  }

  Unary* GetDeviceMetrics(Context*, const v1::GetDeviceMetricsRequest* request,
                          v1::DeviceMetrics* response) override {
    return serve_later(context_.loop, context_.closing, response, [this, request](auto done) {
      const auto device = context_.devices.find(request->name());
      if (!device) {
        done(std::unexpected(device.error()));
        return;
      }
      const v1::Device record = (*device)->record();
      (*device)->measure(
          [record, done](const ApiResult<ensemble::vmm::v1::Measurements>& measured) {
            if (measured) {
              done(metrics_of(record, *measured));
            } else {
              done(std::unexpected(measured.error()));
            }
          });
    });
  }

 private:
  ApiResult<v1::HostInformation> describe(const v1::HostTopology& topology) const {
    v1::HostInformation host;
    host.set_version(kVersion);
    host.add_api_versions("ensemble.v1");
    utsname names{};
    ::uname(&names);
    host.set_host_name(names.nodename);
    host.set_kernel_release(names.release);
    host.set_processors(static_cast<std::uint32_t>(::sysconf(_SC_NPROCESSORS_ONLN)));
    *host.mutable_topology() = topology;
    host.set_memory_bytes(topology.memory_bytes());
    host.set_memory_available_bytes(available_memory());
    v1::Capacity& capacity = *host.mutable_capacity();
    capacity.set_maximum_devices(context_.devices.quotas().devices);
    capacity.set_devices(static_cast<std::uint32_t>(context_.devices.size()));
    capacity.set_maximum_memory_bytes(context_.devices.quotas().memory);
    capacity.set_memory_bytes(context_.devices.memory_in_use());
    v1::EngineInformation& engine = *host.add_engines();
    const std::string device = kvm_device();
    engine.set_engine(v1::ENGINE_ENSEMBLE);
    engine.set_usable(::access(device.c_str(), R_OK | W_OK) == 0);
    engine.set_message(engine.usable()
                           ? vmm::kvm_module_name()
                           : fmt::format("{} cannot be used; `ensemble doctor` says why", device));
    v1::EngineInformation& libvirt = *host.add_engines();
    libvirt.set_engine(v1::ENGINE_LIBVIRT);
    const auto files = InstallationFiles::locate();
    const std::string program = files ? files->libvirt_executable() : "ensemble-libvirt";
    libvirt.set_usable(::access(program.c_str(), X_OK) == 0);
    libvirt.set_message(libvirt.usable() ? "QEMU, by libvirt" : program + " is missing");
    *host.mutable_daemon_start_time() = context_.start_time;
    return host;
  }

  ServiceContext& context_;
  HostTopology topology_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_host_service(ServiceContext& context) {
  return std::make_unique<HostService>(context);
}

}  // namespace ensemble::control
