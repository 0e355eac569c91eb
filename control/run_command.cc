#include "control/run_command.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <utility>

#include "control/atomic_file.h"
#include "control/console_session.h"
#include "control/device_configuration.h"
#include "control/engine.h"
#include "control/memory_size.h"
#include "control/message_stream.h"
#include "control/raw_terminal.h"
#include "control/report.h"
#include "control/sha256.h"
#include "control/vmm_child.h"
#include "device-model/profile_loader.h"
#include "vmm/kvm_kind.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;

// How long a guest with a power button may take to power off after SIGTERM.
constexpr std::chrono::seconds kPowerOffPatience{10};

constexpr int kSignalExitBase = 128;

// With one plain warning where the choice is not the one that people expect.
Result<EngineChoice> choose_engine(const RunOptions& options) {
  auto choice = parse_engine(options.engine);
  if (!choice) {
    return std::unexpected(choice.error().with_context("--engine"));
  }
  if (choice->engine == Engine::kAutomatic) {
    const auto problem = kvm_problem();
    choice->engine = problem ? Engine::kLibvirt : Engine::kEnsemble;
    if (problem) {
      fmt::print(stderr,
                 "ensemble: KVM cannot be used ({}): QEMU emulates the processor, which is slow; "
                 "`ensemble doctor` tells more\n",
                 *problem);
    }
  }
  return choice;
}

// The process is started before the profile is read, so that both happen at once.
Result<VmmChild> start_process(const InstallationFiles& files, Engine engine,
                               const RunOptions& options) {
  return VmmChild::spawn({.executable = engine == Engine::kLibvirt ? files.libvirt_executable()
                                                                   : files.vmm_executable(),
                          .log_level = options.log_level});
}

// What the terminal calls itself, if that is a name.
std::optional<std::string> terminal_type() {
  constexpr std::string_view kNameCharacters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._";
  constexpr std::size_t kLongestName = 64;
  const char* value = std::getenv("TERM");
  const std::string name = value == nullptr ? "" : value;
  if (name.empty() || name.size() > kLongestName ||
      name.find_first_not_of(kNameCharacters) != std::string::npos) {
    return std::nullopt;
  }
  return name;
}

Result<void> choose_size(const RunOptions& options, DeviceOptions& device) {
  if (options.cpus) {
    if (auto checked = check_cpus(*options.cpus); !checked) {
      return fail("--cpus {} {}", *options.cpus, checked.error().message());
    }
    device.cpus = static_cast<std::uint32_t>(*options.cpus);
  }
  if (options.memory) {
    auto memory = parse_memory_size(*options.memory);
    if (!memory) {
      return std::unexpected(memory.error().with_context("--memory"));
    }
    if (auto checked = check_memory(*memory); !checked) {
      return fail("--memory {} {}", *options.memory, checked.error().message());
    }
    device.memory = *memory;
  }
  return {};
}

Result<void> choose_network(const RunOptions& options, DeviceOptions& device) {
  if (options.network) {
    auto network = device::parse_network(*options.network);
    if (!network) {
      return std::unexpected(network.error().with_context("--network"));
    }
    device.network = *std::move(network);
  }
  return {};
}

Result<void> choose_linux_devices(const RunOptions& options, DeviceOptions& device) {
  if (options.balloon) {
    const auto balloon = parse_memory_size(*options.balloon);
    if (!balloon) {
      return std::unexpected(balloon.error().with_context("--balloon"));
    }
    device.balloon = *balloon;
  }
  if (options.vsock) {
    std::error_code error;
    device.vsock = std::filesystem::absolute(*options.vsock, error);
    if (error) {
      return fail("--vsock: cannot find where '{}' is: {}", *options.vsock, error.message());
    }
  }
  return {};
}

// With this process's terminal, if it has one, as the console.
Result<DeviceOptions> device_options(const RunOptions& options) {
  DeviceOptions device{.name = options.name,
                       .cpus = {},
                       .memory = {},
                       .kernel = options.kernel,
                       .rootfs = options.rootfs,
                       .disk = options.disk,
                       .append = options.append,
                       .world = options.world,
                       .command = options.command,
                       .environment = {},
                       .terminal = {},
                       .measure_memory = options.report.has_value(),
                       .power = device::PowerControl::kMachineControl};
  auto chosen = choose_size(options, device);
  if (chosen) {
    chosen = choose_network(options, device);
  }
  if (chosen) {
    chosen = choose_linux_devices(options, device);
  }
  if (!chosen) {
    return std::unexpected(chosen.error());
  }
  if (::isatty(STDIN_FILENO) == 1) {
    device.terminal = terminal_size(STDIN_FILENO);
    if (const auto type = terminal_type()) {
      device.environment.push_back("TERM=" + *type);
    }
  }
  return device;
}

Result<void> send_start(const VmmChild& child, const proto::Configuration& configuration) {
  proto::Request configure;
  configure.set_id(1);
  *configure.mutable_configure()->mutable_configuration() = configuration;
  proto::Request start;
  start.set_id(2);
  start.mutable_start();
  auto sent = write_message(child.control(), configure);
  if (sent) {
    sent = write_message(child.control(), start);
  }
  return sent;
}

Result<int> exit_code_of(const ConsoleSession::End& end,
                         const std::optional<std::string>& process_failure) {
  if (end.failure) {
    return fail("{}", *end.failure);
  }
  if (end.stopped && end.stopped->reason() == proto::STOP_REASON_POWER_OFF) {
    return static_cast<int>(end.stopped->exit_code());
  }
  if (end.stopped && end.stopped->reason() == proto::STOP_REASON_FAILED) {
    return fail("the device failed: {}", end.stopped->message());
  }
  if (end.stopped_by_key) {
    return 0;
  }
  if (end.signal_number != 0) {
    return kSignalExitBase + end.signal_number;
  }
  if (end.stopped) {
    return fail("the device was stopped from outside");
  }
  return fail("the device's process ended unexpectedly: {}",
              process_failure.value_or("it gave no reason"));
}

Result<void> write_report(const RunOptions& options, const proto::Configuration& configuration,
                          const std::string& profile, const proto::Stopped& stopped,
                          int exit_code) {
  auto digest = file_sha256(configuration.kernel());
  if (!digest) {
    return std::unexpected(digest.error());
  }
  const RunReport report{.profile = profile,
                         .kernel_sha256 = *digest,
                         .accelerator = vmm::kvm_module_name(),
                         .vcpus = configuration.vcpus(),
                         .memory_mib = configuration.memory_bytes() >> 20,
                         .exit_code = exit_code,
                         .measurements = stopped.measurements()};
  return write_file_atomically(*options.report, to_json(report));
}

}  // namespace

Result<int> run_device(const RunOptions& options) {
  auto files = InstallationFiles::locate();
  if (!files) {
    return std::unexpected(files.error());
  }
  const auto engine = choose_engine(options);
  if (!engine) {
    return std::unexpected(engine.error());
  }
  block_session_signals();
  auto child = start_process(*files, engine->engine, options);
  if (!child) {
    return std::unexpected(child.error());
  }
  auto profile = device::load_profile(options.profile);
  if (!profile) {
    return std::unexpected(profile.error());
  }
  auto device = device_options(options);
  if (!device) {
    return std::unexpected(device.error());
  }
  if (engine->engine == Engine::kLibvirt) {
    device->power = device::PowerControl::kPort;
  }
  auto configuration = make_configuration(*device, *profile, *files);
  if (!configuration) {
    return std::unexpected(configuration.error());
  }
  configuration->set_libvirt_uri(engine->libvirt_uri);
  configuration->set_emulate_processor(engine->engine == Engine::kLibvirt && kvm_problem());
  configuration->set_started_at_ns(child->started_at_ns());

  ConsoleSession session(*child);
  for (const proto::Device& each : configuration->devices()) {
    if (each.machine_control().power_button()) {
      session.set_power_off_patience(kPowerOffPatience);
    }
  }
  Result<ConsoleSession::End> end = std::unexpected(Error(""));
  // A process that ended before it read this has told why, or its exit status does.
  if (auto sent = send_start(*child, *configuration); !sent) {
    spdlog::debug("{}", sent.error().message());
  }
  end = session.run();
  if (!end) {
    return std::unexpected(end.error());
  }
  const std::optional<std::string> process_failure = child->wait();
  auto exit_code = exit_code_of(*end, process_failure);
  if (options.report && end->stopped) {
    auto written = write_report(options, *configuration, profile->name, *end->stopped,
                                exit_code.value_or(kEnsembleFailed));
    if (!written) {
      return std::unexpected(written.error());
    }
  }
  return exit_code;
}

}  // namespace ensemble::control
