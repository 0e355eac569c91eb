#include "control/device_configuration.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <string_view>
#include <utility>

#include "control/agent_port.h"
#include "control/input_messages.h"
#include "control/message_stream.h"
#include "device-model/acpi/acpi_tables.h"
#include "device-model/chip_placement.h"
#include "device-model/device_tree.h"
#include "device-model/input_devices.h"
#include "device-model/machine_description.h"
#include "device-model/machine_layout.h"
#include "vmm/file_descriptor.h"
#include "vmm/guest_memory.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;

Result<void> check_file(std::string_view what, const std::string& path, int flags) {
  const vmm::FileDescriptor file(::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK));
  if (!file) {
    return std::unexpected(
        Error::from_errno(fmt::format("cannot open the {} '{}'{}", what, path,
                                      flags == O_RDWR ? " for reading and writing" : ""),
                          errno));
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    return std::unexpected(
        Error::from_errno(fmt::format("cannot use the {} '{}'", what, path), errno));
  }
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
    return fail("the {} '{}' is not a regular file", what, path);
  }
  return {};
}

// The file that an option names or else the installation's, checked.
Result<std::string> choose_file(const std::optional<std::string>& given, std::string_view what,
                                Result<std::string> (InstallationFiles::*fallback)() const,
                                const InstallationFiles& files) {
  auto path = given ? Result<std::string>(*given) : (files.*fallback)();
  if (path) {
    if (auto checked = check_file(what, *path, O_RDONLY); !checked) {
      return std::unexpected(checked.error());
    }
  }
  return path;
}

void add_module(proto::Configuration& configuration, const char* name, std::string copied_file,
                std::string mapped_file) {
  proto::Module& module = *configuration.add_modules();
  module.set_name(name);
  if (!copied_file.empty()) {
    module.set_copied_file(std::move(copied_file));
  } else {
    module.set_mapped_file(std::move(mapped_file));
  }
}

// Ensemble's kernel would only say it in the middle of its boot.
Result<void> check_archive(const std::string& path) {
  constexpr std::string_view kMagic = "070701";
  std::array<char, kMagic.size()> start{};
  const vmm::FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (::pread(file.get(), start.data(), start.size(), 0) != std::ssize(start) ||
      std::string_view(start.data(), start.size()) != kMagic) {
    return fail("the root file system '{}' is no newc cpio archive; scripts/rootfs makes them",
                path);
  }
  return {};
}

// Whether a kernel starts as Linux does: with a command line, one initial RAM disk and ACPI.
Result<bool> boots_as_linux(const DeviceOptions& options) {
  if (!options.kernel) {
    return options.append ? Result<bool>(fail("a kernel's command line needs a kernel of its own: "
                                              "Ensemble's takes none"))
                          : Result<bool>(false);
  }
  constexpr std::string_view kMagic = "HdrS";
  constexpr off_t kMagicOffset = 0x202;
  std::array<char, kMagic.size()> magic{};
  if (auto checked = check_file("kernel", *options.kernel, O_RDONLY); !checked) {
    return std::unexpected(checked.error());
  }
  const vmm::FileDescriptor file(::open(options.kernel->c_str(), O_RDONLY | O_CLOEXEC));
  const bool is_linux =
      ::pread(file.get(), magic.data(), magic.size(), kMagicOffset) == std::ssize(magic) &&
      std::string_view(magic.data(), magic.size()) == kMagic;
  return is_linux || options.append;
}

Result<void> add_linux_files(proto::Configuration& configuration, const DeviceOptions& options) {
  constexpr const char* kDefaultCommandLine = "console=ttyS0";
  if (!options.command.empty()) {
    return fail("a command can be given to Ensemble's own kernel only, not to '{}'",
                *options.kernel);
  }
  configuration.set_kernel(*options.kernel);
  configuration.set_kernel_command_line(options.append.value_or(kDefaultCommandLine));
  if (options.rootfs) {
    if (auto checked = check_file("initial RAM disk", *options.rootfs, O_RDONLY); !checked) {
      return checked;
    }
    add_module(configuration, "initrd", *options.rootfs, {});
  }
  return {};
}

// A kernel of the user's own need not want Ensemble's boot package and root file system; it gets
// them where they exist. Ensemble's own cannot do without.
Result<void> add_boot_files(proto::Configuration& configuration, const DeviceOptions& options,
                            const InstallationFiles& files) {
  auto kernel = choose_file(options.kernel, "kernel", &InstallationFiles::kernel, files);
  if (!kernel) {
    return std::unexpected(kernel.error());
  }
  configuration.set_kernel(std::move(*kernel));

  auto boot = choose_file(std::nullopt, "boot package",
                          options.agent  ? &InstallationFiles::agent_boot_package
                          : options.disk ? &InstallationFiles::disk_boot_package
                                         : &InstallationFiles::boot_package,
                          files);
  if (boot) {
    add_module(configuration, "boot", std::move(*boot), {});
  } else if (!options.kernel) {
    return std::unexpected(boot.error());
  }
  auto root =
      choose_file(options.rootfs, "root file system", &InstallationFiles::root_file_system, files);
  if (root && !options.kernel) {
    if (auto checked = check_archive(*root); !checked) {
      return checked;
    }
  }
  if (root) {
    add_module(configuration, "root", {}, std::move(*root));
  } else if (!options.kernel || options.rootfs) {
    return std::unexpected(root.error());
  }
  return {};
}

// Adds virtio devices at the places that docs/machine.md gives them, to both the configuration and
// the description of the machine.
class VirtioPlaces {
 public:
  VirtioPlaces(proto::Configuration& configuration, device::MachineDescription& machine)
      : configuration_(configuration), machine_(machine) {}

  proto::Device& add(const char* name, std::uint32_t device_id, const char* role = "") {
    const std::size_t index = machine_.virtio.size();
    const auto before =
        std::ranges::count(machine_.virtio, std::string_view(name),
                           [](const device::VirtioNode& node) { return node.name; });
    const device::VirtioNode node{.name = name,
                                  .device_id = device_id,
                                  .address = device::kVirtioAddress + index * device::kVirtioStride,
                                  .gsi = device::kVirtioGsis.at(index),
                                  .role = role};
    machine_.virtio.push_back(node);
    proto::Device& device = *configuration_.add_devices();
    // Names tell devices apart, in messages and figures.
    device.set_name(before == 0 ? fmt::format("virtio-{}", name)
                                : fmt::format("virtio-{}-{}", name, before + 1));
    device.set_address(node.address);
    device.set_gsi(node.gsi);
    return device;
  }

 private:
  proto::Configuration& configuration_;
  device::MachineDescription& machine_;
};

// Of the virtio specification, section 5.
constexpr std::uint32_t kVirtioNetworkId = 1;
constexpr std::uint32_t kVirtioBlockId = 2;
constexpr std::uint32_t kVirtioConsoleId = 3;
constexpr std::uint32_t kVirtioEntropyId = 4;
constexpr std::uint32_t kVirtioBalloonId = 5;
constexpr std::uint32_t kVirtioInputId = 18;
constexpr std::uint32_t kVirtioVsockId = 19;
constexpr std::size_t kLongestSerial = 20;

// A locally administered one, which a device of that name has at each start.
std::string mac_address(std::string_view name) {
  constexpr std::uint64_t kFnvOffset = 0xCBF29CE484222325, kFnvPrime = 0x100000001B3;
  std::uint64_t hash = kFnvOffset;
  for (const unsigned char each : name) {
    hash = (hash ^ each) * kFnvPrime;
  }
  std::string mac{'\x02'};
  for (int shift = 0; shift < 40; shift += 8) {
    mac += static_cast<char>(hash >> shift);
  }
  return mac;
}

// Ensemble's kernel has no driver for a network, so its machines have none, whatever the profile
// says.
Result<device::NetworkChoice> choose_network(const DeviceOptions& options, bool as_linux,
                                             const device::Profile& profile) {
  const bool on_kvm = options.power == device::PowerControl::kMachineControl;
  if (!options.network) {
    return as_linux && on_kvm ? profile.network : device::NetworkChoice{};
  }
  if (options.network->kind != device::NetworkChoice::Kind::kNone) {
    if (!options.kernel) {
      return fail("a network needs a --kernel: Ensemble's own has no driver for one");
    }
    if (!on_kvm) {
      return fail("a network can be had by devices on KVM only, not on QEMU");
    }
  }
  return *options.network;
}

void add_network(VirtioPlaces& places, const std::string& name,
                 const device::NetworkChoice& choice) {
  if (choice.kind == device::NetworkChoice::Kind::kNone) {
    return;
  }
  proto::VirtioNetwork& network = *places.add("network", kVirtioNetworkId).mutable_virtio_network();
  network.set_mac(mac_address(name));
  if (choice.kind == device::NetworkChoice::Kind::kTap) {
    network.mutable_tap()->set_name(choice.interface);
  } else {
    network.mutable_user();
  }
}

// Not for Ensemble's kernel, which has no driver for it and would look at its registers in vain.
Result<void> add_balloon(VirtioPlaces& places, const proto::Configuration& configuration,
                         const DeviceOptions& options, bool as_linux) {
  if (!as_linux || options.power != device::PowerControl::kMachineControl) {
    return options.balloon == 0
               ? Result<void>()
               : fail("a memory balloon can be had by Linux on KVM only, as --kernel");
  }
  if (options.balloon > configuration.memory_bytes()) {
    return fail("a balloon of {} bytes is larger than the device's memory, which has {}",
                options.balloon, configuration.memory_bytes());
  }
  places.add("balloon", kVirtioBalloonId)
      .mutable_virtio_balloon()
      ->set_target_bytes(options.balloon);
  return {};
}

Result<void> add_vsock(VirtioPlaces& places, const DeviceOptions& options, bool as_linux) {
  if (!options.vsock) {
    return {};
  }
  if (!as_linux || options.power != device::PowerControl::kMachineControl) {
    return fail("sockets of the guest can be had with Linux on KVM only, as --kernel");
  }
  places.add("vsock", kVirtioVsockId).mutable_virtio_vsock()->set_path(*options.vsock);
  return {};
}

Result<void> add_devices(proto::Configuration& configuration, device::MachineDescription& machine,
                         const DeviceOptions& options, bool as_linux,
                         const device::NetworkChoice& network) {
  proto::Device& serial = *configuration.add_devices();
  serial.set_name("serial");
  serial.set_address(device::kSerialPort);
  serial.set_gsi(device::kSerialGsi);
  serial.mutable_serial_16550();

  proto::Device& control = *configuration.add_devices();
  control.set_name("machine-control");
  control.set_address(device::kMachineControlAddress);
  if (machine.power_button) {
    control.set_gsi(machine.power_button->gsi);
  }
  control.mutable_machine_control()->set_power_button(machine.power_button.has_value());

  VirtioPlaces places(configuration, machine);
  proto::VirtioConsole& console = *places.add("console", kVirtioConsoleId).mutable_virtio_console();
  if (options.terminal) {
    console.mutable_size()->set_columns(options.terminal->columns);
    console.mutable_size()->set_rows(options.terminal->rows);
  }
  places.add("entropy", kVirtioEntropyId).mutable_virtio_entropy();
  if (options.agent) {
    places.add("port", kVirtioConsoleId, "agent")
        .mutable_virtio_port()
        ->set_name(AgentPort::kPortName);
  }
  if (options.disk) {
    if (auto checked = check_file("disk", *options.disk, O_RDWR); !checked) {
      return checked;
    }
    proto::VirtioBlock& block = *places.add("block", kVirtioBlockId).mutable_virtio_block();
    block.set_path(*options.disk);
    block.set_serial(configuration.name().substr(0, kLongestSerial));
    // Ensemble's driver uses one.
    block.set_queues(as_linux ? configuration.vcpus() : 1);
  }
  for (const device::InputDescription& input :
       device::input_devices(machine.product, configuration.name())) {
    *places.add("input", kVirtioInputId).mutable_virtio_input() = to_message(input);
  }
  add_network(places, configuration.name(), network);
  auto added = add_balloon(places, configuration, options, as_linux);
  return added ? add_vsock(places, options, as_linux) : added;
}

void add_chips(proto::Configuration& configuration, device::MachineDescription& machine) {
  const device::ChipPlaces places = device::place_chips(machine.product);
  device::describe_chips(places, machine);
  if (places.gpio) {
    proto::Device& gpio = *configuration.add_devices();
    gpio.set_name("gpio");
    gpio.set_address(places.gpio->address);
    gpio.set_gsi(places.gpio->gsi);
    gpio.mutable_gpio_controller();
  }
  for (const device::PlacedBus& bus : places.buses) {
    proto::Device& controller = *configuration.add_devices();
    controller.set_name(bus.name);
    controller.set_address(bus.address);
    controller.set_gsi(bus.gsi);
    for (const device::PlacedChip& node : bus.chips) {
      proto::I2cChip& chip = *controller.mutable_i2c_controller()->add_chips();
      chip.set_name(node.name);
      chip.set_model(std::string(node.model->name));
      chip.set_address(node.address);
      if (node.interrupt_pin) {
        chip.set_interrupt_pin(*node.interrupt_pin);
      }
    }
  }
  if (machine.product.battery) {
    proto::Battery& battery = *configuration.mutable_battery();
    battery.set_capacity(machine.product.battery->capacity);
    battery.set_minimum_voltage(machine.product.battery->minimum_voltage);
    battery.set_maximum_voltage(machine.product.battery->maximum_voltage);
  }
}

void add_clock(proto::Configuration& configuration, device::MachineDescription& machine) {
  machine.has_clock = true;
  proto::Device& clock = *configuration.add_devices();
  clock.set_name("real-time-clock");
  clock.set_address(device::kClockPort);
  clock.set_gsi(device::kClockGsi);
  clock.mutable_real_time_clock();
}

std::uint64_t nanoseconds_since_1970() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

// As a device tree, or as ACPI does it.
Result<void> add_manifest(proto::Configuration& configuration, device::MachineDescription& machine,
                          bool as_acpi) {
  // Only for where its RAM lies.
  auto memory = vmm::GuestMemory::create(configuration.memory_bytes());
  if (!memory) {
    return std::unexpected(memory.error());
  }
  machine.memory = device::usable_memory(*memory);
  for (std::uint32_t cpu = 0; cpu < configuration.vcpus(); ++cpu) {
    machine.apic_ids.push_back(cpu);
  }
  machine.start_time = nanoseconds_since_1970();
  if (as_acpi) {
    auto tables = device::encode_acpi(machine, device::kAcpiTablesAddress);
    if (!tables) {
      return std::unexpected(tables.error().with_context("cannot describe the machine"));
    }
    configuration.set_acpi_tables(tables->data(), tables->size());
    configuration.set_acpi_tables_address(device::kAcpiTablesAddress);
    return {};
  }
  if (machine.power != device::PowerControl::kMachineControl) {
    machine.virtio.clear();
  }
  auto manifest = device::encode_device_tree(machine);
  if (!manifest) {
    return std::unexpected(manifest.error().with_context("cannot describe the machine"));
  }
  configuration.set_manifest(manifest->data(), manifest->size());
  return {};
}

}  // namespace

Result<void> check_cpus(std::int64_t cpus) {
  if (cpus < device::kMinimumCpus || cpus > device::kMaximumCpus) {
    return fail("is out of range; a device has {} to {} CPUs", device::kMinimumCpus,
                device::kMaximumCpus);
  }
  return {};
}

Result<void> check_memory(std::uint64_t memory) {
  if (memory < device::kMinimumMemory) {
    return fail("is too small; a device has at least {}M", device::kMinimumMemory >> 20);
  }
  if (memory > device::kMaximumMemory) {
    return fail("is too large; a device has at most {}G", device::kMaximumMemory >> 30);
  }
  if (memory % device::kMemoryStep != 0) {
    return fail("is not a multiple of {} MiB", device::kMemoryStep >> 20);
  }
  return {};
}

Result<proto::Configuration> make_configuration(const DeviceOptions& options,
                                                const device::Profile& profile,
                                                const InstallationFiles& files) {
  proto::Configuration configuration;
  configuration.set_protocol_version(kProtocolVersion);
  configuration.set_name(options.name.empty() ? profile.name : options.name);
  configuration.set_vcpus(options.cpus.value_or(static_cast<std::uint32_t>(profile.cpus)));
  configuration.set_memory_bytes(options.memory.value_or(profile.memory));
  configuration.set_kvm_device(kvm_device());
  configuration.set_measure_memory(options.measure_memory);

  device::MachineDescription machine;
  machine.product = profile;
  machine.arguments = options.command;
  machine.environment = options.environment;
  machine.console_is_terminal = options.terminal.has_value();
  machine.power = options.power;
  const auto as_linux = boots_as_linux(options);
  if (!as_linux) {
    return std::unexpected(as_linux.error());
  }
  auto done = *as_linux ? add_linux_files(configuration, options)
                        : add_boot_files(configuration, options, files);
  const auto network = choose_network(options, *as_linux, profile);
  if (!network) {
    return std::unexpected(network.error());
  }
  if (*as_linux && options.power == device::PowerControl::kMachineControl) {
    machine.power_button = {.address = device::kPowerButtonAddress, .gsi = device::kPowerButtonGsi};
  }
  if (done) {
    done = add_devices(configuration, machine, options, *as_linux, *network);
    add_chips(configuration, machine);
    if (options.power == device::PowerControl::kMachineControl) {
      add_clock(configuration, machine);
    }
  }
  if (done && options.world) {
    done = check_file("recording", *options.world, O_RDONLY);
    configuration.set_world(*options.world);
  }
  if (done) {
    done = add_manifest(configuration, machine, *as_linux);
  }
  if (!done) {
    return std::unexpected(done.error());
  }
  return configuration;
}

}  // namespace ensemble::control
