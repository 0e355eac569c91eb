#include "control/daemon/device_launch.h"

#include <fmt/format.h>

#include "control/daemon/device_options.h"
#include "control/device_configuration.h"
#include "control/engine.h"

namespace ensemble::control {
namespace {

// In the boot package for agents. It runs the device's command.
constexpr char kAgentProgram[] = "/bin/ensemble-agent";

}  // namespace

v1::Engine choose_engine(const v1::Device& record, std::string& problem) {
  problem.clear();
  if (record.spec().engine() != v1::ENGINE_UNSPECIFIED) {
    return record.spec().engine();
  }
  problem = kvm_problem().value_or("");
  return problem.empty() ? v1::ENGINE_ENSEMBLE : v1::ENGINE_LIBVIRT;
}

std::vector<std::string> unavailable_with(v1::Engine engine) {
  if (engine != v1::ENGINE_LIBVIRT) {
    return {};
  }
  return {"boot-milestones",        "console-size", "exit-counts",
          "memory-figures",         "missed-calls", "processor-time",
          "shared-root-file-system"};
}

ApiResult<ensemble::vmm::v1::Configuration> launch_configuration(const v1::Device& record,
                                                                 v1::Engine engine,
                                                                 const device::Profile& profile,
                                                                 const InstallationFiles& files) {
  DeviceOptions options = device_options(record);
  if (engine == v1::ENGINE_LIBVIRT) {
    options.power = device::PowerControl::kPort;
  }
  if (record.spec().kernel().empty()) {  // A kernel of the user's own need not know it.
    options.agent = true;
    options.command.emplace(options.command.begin(), kAgentProgram);
  }
  auto configuration = make_configuration(options, profile, files);
  if (!configuration) {
    return failed_precondition("CANNOT_CONFIGURE", fmt::format("cannot start {}: {}", record.name(),
                                                               configuration.error().message()));
  }
  if (engine == v1::ENGINE_LIBVIRT) {
    configuration->set_libvirt_uri(record.spec().libvirt_uri());
    configuration->set_emulate_processor(kvm_problem().has_value());
  }
  return *configuration;
}

}  // namespace ensemble::control
