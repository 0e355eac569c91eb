#include "control/assembled_machine.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "control/connected_devices.h"
#include "control/input_messages.h"
#include "control/manifest_clock.h"
#include "device-model/virtio/block_device.h"
#include "device-model/virtio/entropy_device.h"
#include "device-model/virtio/port_device.h"
#include "device-model/virtio/vsock_device.h"
#include "device-model/world/constant_world.h"
#include "device-model/world/recorded_world.h"
#include "vmm/serial_16550.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;

std::vector<std::byte> to_bytes(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

vmm::BootModule to_boot_module(const proto::Module& module) {
  vmm::BootModule result;
  result.name = module.name();
  switch (module.source_case()) {
    case proto::Module::kCopiedFile:
      result.path = module.copied_file();
      break;
    case proto::Module::kMappedFile:
      result.placement = vmm::BootModule::Placement::kMapped;
      result.path = module.mapped_file();
      break;
    case proto::Module::kContent:
      result.contents = to_bytes(module.content());
      break;
    case proto::Module::SOURCE_NOT_SET:
      break;
  }
  return result;
}

}  // namespace

Result<std::unique_ptr<AssembledMachine>> AssembledMachine::create(
    const proto::Configuration& configuration, vmm::EventLoop& loop, ConsolePort& console,
    device::PortBackend* agent) {
  vmm::MachineOptions options{.memory_size = configuration.memory_bytes(),
                              .vcpu_count = configuration.vcpus()};
  if (!configuration.kvm_device().empty()) {
    options.kvm_path = configuration.kvm_device();
  }
  auto machine = vmm::Machine::create(options, loop);
  if (!machine) {
    return std::unexpected(machine.error());
  }
  std::unique_ptr<AssembledMachine> assembled(
      new AssembledMachine(std::move(*machine), console, agent));
  if (auto added = assembled->add_board(configuration); !added) {
    return std::unexpected(added.error());
  }
  for (const proto::Device& device : configuration.devices()) {
    if (auto added = assembled->add_device(device); !added) {
      return std::unexpected(added.error().with_context("device '" + device.name() + "'"));
    }
  }
  if (auto loaded = assembled->load(configuration); !loaded) {
    return std::unexpected(loaded.error());
  }
  return assembled;
}

AssembledMachine::AssembledMachine(std::unique_ptr<vmm::Machine> machine, ConsolePort& console,
                                   device::PortBackend* agent)
    : machine_(std::move(machine)),
      console_(std::make_unique<MachineConsole>(console)),
      virtio_bus_(std::make_unique<device::VirtioBus>(*machine_)),
      agent_(agent),
      memory_meter_(machine_->event_loop().device_lock(), [this] { return read_memory(); }) {}

AssembledMachine::~AssembledMachine() {
  machine_->stop({.kind = vmm::StopReason::Kind::kStoppedFromOutside, .detail = {}});
  machine_->wait();
}

Result<void> AssembledMachine::add_device(const proto::Device& device) {
  vmm::EventLoop& loop = machine_->event_loop();
  switch (device.kind_case()) {
    case proto::Device::kSerial16550:
      return add_serial(device);
    case proto::Device::kMachineControl:
      return add_machine_control(device);
    case proto::Device::kVirtioConsole:
      return add_console(device);
    case proto::Device::kVirtioEntropy:
      return add_virtio(device, std::make_unique<device::EntropyDevice>());
    case proto::Device::kVirtioBlock: {
      const proto::VirtioBlock& disk = device.virtio_block();
      auto block = device::BlockDevice::create(
          disk.path(),
          {.read_only = disk.read_only(),
           .queues = static_cast<std::uint16_t>(std::clamp(disk.queues(), 1U, 0xFFFFU)),
           .serial = disk.serial()},
          loop);
      return block ? add_virtio(device, std::move(*block)) : std::unexpected(block.error());
    }
    case proto::Device::kVirtioPort:
      return add_port(device);
    case proto::Device::kVirtioInput:
      return add_input(device);
    case proto::Device::kVirtioNetwork:
      return add_network(device);
    case proto::Device::kRealTimeClock:
      return add_clock(device);
    case proto::Device::kVirtioBalloon:
      return add_balloon(device);
    case proto::Device::kVirtioVsock: {
      auto vsock = device::VsockDevice::create(loop, device.virtio_vsock().path());
      return vsock ? add_virtio(device, *std::move(vsock)) : std::unexpected(vsock.error());
    }
    case proto::Device::kGpioController:
      return add_gpio(device);
    case proto::Device::kI2CController:
      return add_i2c(device);
    case proto::Device::KIND_NOT_SET:
      break;
  }
  return fail("this version of ensemble-vmm knows no such device");
}

Result<void> AssembledMachine::add_virtio(const proto::Device& device,
                                          std::unique_ptr<device::VirtioDevice> virtio) {
  if (auto attached = virtio_bus_->attach(std::move(virtio)); !attached) {
    return std::unexpected(attached.error());
  }
  // The manifest, which the controller made, says the same or is wrong.
  const device::VirtioNode& node = virtio_bus_->nodes().back();
  if (node.address != device.address() || node.gsi != device.gsi()) {
    return fail("it was announced at {:#x} with GSI {}, but is at {:#x} with GSI {}",
                device.address(), device.gsi(), node.address, node.gsi);
  }
  return {};
}

Result<void> AssembledMachine::add_console(const proto::Device& device) {
  const bool is_terminal = device.virtio_console().has_size();
  auto console =
      std::make_unique<device::ConsoleDevice>(console_->make_virtio_backend(), is_terminal);
  device::ConsoleDevice* const raw = console.get();
  if (auto added = add_virtio(device, std::move(console)); !added) {
    return added;
  }
  if (is_terminal) {
    sized_console_ = raw;
    resize_console(device.virtio_console().size());
  }
  return {};
}

void AssembledMachine::resize_console(const proto::ConsoleSize& size) {
  const auto clamp = [](std::uint32_t value) {
    return static_cast<std::uint16_t>(std::min<std::uint32_t>(value, UINT16_MAX));
  };
  if (sized_console_ != nullptr) {
    sized_console_->set_size(clamp(size.columns()), clamp(size.rows()));
  }
}

Result<void> AssembledMachine::add_input(const proto::Device& device) {
  auto description = input_description(device.virtio_input());
  if (!description) {
    return std::unexpected(description.error());
  }
  auto input = device::InputDevice::create(*std::move(description));
  if (!input) {
    return std::unexpected(input.error());
  }
  device::InputDevice& raw = **input;
  auto added = add_virtio(device, *std::move(input));
  if (added) {
    input_controls_.add(raw);
  }
  return added;
}

Result<void> AssembledMachine::send_input(const proto::SendInput& input) {
  if (machine_->state() != vmm::MachineState::kRunning) {
    return fail("the device does not run");
  }
  return perform(input, input_controls_);
}

Result<void> AssembledMachine::add_port(const proto::Device& device) {
  // virtio_console_control has it behind its 8 bytes, and guests give short buffers.
  constexpr std::size_t kLongestName = 63;
  const std::string& name = device.virtio_port().name();
  if (name.empty() || name.size() > kLongestName) {
    return fail("a port has a name of 1 to {} bytes", kLongestName);
  }
  device::PortBackend* const agent = std::exchange(agent_, nullptr);
  if (agent == nullptr) {
    return fail("a machine has one port, and its process is a served one");
  }
  return add_virtio(device, std::make_unique<device::PortDevice>(name, *agent));
}

Result<void> AssembledMachine::add_network(const proto::Device& device) {
  auto network = make_network_device(device.virtio_network(), machine_->event_loop());
  return network ? add_virtio(device, *std::move(network)) : std::unexpected(network.error());
}

Result<void> AssembledMachine::add_balloon(const proto::Device& device) {
  if (balloon_ != nullptr) {
    return fail("a machine has one memory balloon");
  }
  auto balloon = std::make_unique<device::BalloonDevice>(machine_->memory());
  balloon_ = balloon.get();
  auto added = add_virtio(device, std::move(balloon));
  return added ? set_balloon(device.virtio_balloon().target_bytes()) : added;
}

Result<void> AssembledMachine::set_balloon(std::uint64_t bytes) {
  if (balloon_ == nullptr) {
    return fail("the device has no memory balloon: machines whose kernel is Linux have one");
  }
  if (bytes > machine_->memory().size()) {
    return fail("a balloon of {} bytes is larger than the device's memory, which has {}", bytes,
                machine_->memory().size());
  }
  control::set_balloon(*balloon_, bytes);
  return {};
}

Result<void> AssembledMachine::add_serial(const proto::Device& device) {
  if (console_->has_serial()) {
    return fail("a machine has one 16550");
  }
  auto line = machine_->make_interrupt_line(device.gsi());
  if (!line) {
    return std::unexpected(line.error());
  }
  return machine_->port_bus().insert(device.address(), vmm::Serial16550::kSize,
                                     console_->add_serial(std::move(*line)));
}

Result<void> AssembledMachine::add_clock(const proto::Device& device) {
  if (clock_) {
    return fail("a machine has one real-time clock");
  }
  auto line = machine_->make_interrupt_line(device.gsi());
  if (!line) {
    return std::unexpected(line.error());
  }
  auto clock = device::HostClock::create(machine_->event_loop(), std::move(*line));
  if (!clock) {
    return std::unexpected(clock.error());
  }
  clock_ = std::move(*clock);
  return machine_->port_bus().insert(device.address(), device::CmosClock::kSize, clock_->clock());
}

Result<void> AssembledMachine::add_board(const proto::Configuration& configuration) {
  std::unique_ptr<const device::World> world = std::make_unique<device::ConstantWorld>();
  if (!configuration.world().empty()) {
    auto recorded = device::RecordedWorld::load(configuration.world());
    if (!recorded) {
      return std::unexpected(recorded.error());
    }
    world = std::move(*recorded);
  }
  if (configuration.has_battery()) {
    const proto::Battery& battery = configuration.battery();
    product_.full_charge = battery.capacity() * 3600e-6;
    product_.empty_voltage = battery.minimum_voltage() * 1e-6;
    product_.full_voltage = battery.maximum_voltage() * 1e-6;
  }
  board_ = std::make_unique<device::ChipBoard>(*machine_, std::move(world));
  return {};
}

Result<void> AssembledMachine::add_gpio(const proto::Device& device) {
  return board_->add_gpio({.address = device.address(), .gsi = device.gsi()});
}

Result<void> AssembledMachine::add_i2c(const proto::Device& device) {
  device::PlacedBus node{
      .name = device.name(), .address = device.address(), .gsi = device.gsi(), .chips = {}};
  for (const proto::I2cChip& chip : device.i2c_controller().chips()) {
    const device::ChipModel* const model = device::find_chip(chip.model());
    if (model == nullptr || chip.address() > 0x7F) {
      return fail("this version of ensemble-vmm knows no chip '{}' at {:#x}", chip.model(),
                  chip.address());
    }
    node.chips.push_back({.name = chip.name(),
                          .model = model,
                          .address = static_cast<std::uint8_t>(chip.address())});
    if (chip.has_interrupt_pin()) {
      node.chips.back().interrupt_pin = chip.interrupt_pin();
    }
  }
  return board_->add_i2c(node, product_);
}

Result<void> AssembledMachine::add_machine_control(const proto::Device& device) {
  if (machine_control_) {
    return fail("a machine has one machine control");
  }
  vmm::Machine& machine = *machine_;
  std::function<void()> button_pressed;
  if (device.machine_control().power_button()) {
    auto line = machine.make_interrupt_line(device.gsi());
    if (!line) {
      return std::unexpected(line.error());
    }
    button_pressed = [line = std::shared_ptr<vmm::InterruptLine>(std::move(*line))] {
      line->trigger();
    };
  }
  machine_control_ = std::make_unique<vmm::MachineControl>(vmm::MachineControl::Handlers{
      .power_off =
          [&machine](std::uint8_t exit_code) {
            machine.stop(
                {.kind = vmm::StopReason::Kind::kPowerOff, .exit_code = exit_code, .detail = {}});
          },
      .reset =
          [&machine] {
            machine.stop({.kind = vmm::StopReason::Kind::kResetRequested, .detail = {}});
          },
      .button_pressed = std::move(button_pressed)});
  return machine_->mmio_bus().insert(device.address(), vmm::MachineControl::kSize,
                                     *machine_control_);
}

Result<void> AssembledMachine::press_power_button() {
  if (machine_->state() != vmm::MachineState::kRunning) {
    return fail("the device does not run");
  }
  return machine_control_ ? machine_control_->press_power_button()
                          : fail("the machine has no machine control, and so no power button");
}

Result<void> AssembledMachine::load(const proto::Configuration& configuration) {
  vmm::BootSource source;
  source.kernel_path = configuration.kernel();
  source.command_line = configuration.kernel_command_line();
  source.acpi = {.address = configuration.acpi_tables_address(),
                 .contents = to_bytes(configuration.acpi_tables())};
  for (const proto::Module& module : configuration.modules()) {
    source.modules.push_back(to_boot_module(module));
  }
  if (!configuration.manifest().empty()) {
    auto manifest = finished_manifest(configuration);
    if (!manifest) {
      return std::unexpected(manifest.error());
    }
    source.modules.push_back({.name = "manifest",
                              .placement = vmm::BootModule::Placement::kCopied,
                              .path = {},
                              .contents = to_bytes(*manifest)});
  }
  return machine_->load(source);
}

Result<std::string> AssembledMachine::finished_manifest(
    const proto::Configuration& configuration) const {
  const auto khz = machine_->tsc_khz();
  if (!khz) {
    return std::unexpected(khz.error());
  }
  std::string manifest = configuration.manifest();
  if (auto set = set_clock_frequency(manifest, std::uint64_t{*khz} * 1000); !set) {
    return std::unexpected(set.error());
  }
  return manifest;
}

Result<void> AssembledMachine::start() {
  const auto now = std::chrono::steady_clock::now();
  auto started = machine_->start();
  if (started) {
    started_ = now;
  }
  return started;
}

}  // namespace ensemble::control
