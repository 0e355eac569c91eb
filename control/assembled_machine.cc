#include "control/assembled_machine.h"

#include <spdlog/spdlog.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "control/input_messages.h"
#include "control/manifest_clock.h"
#include "device-model/network/tap_network.h"
#include "device-model/network/user_network.h"
#include "device-model/virtio/block_device.h"
#include "device-model/virtio/entropy_device.h"
#include "device-model/virtio/network_device.h"
#include "device-model/virtio/port_device.h"
#include "device-model/world/constant_world.h"
#include "device-model/world/recorded_world.h"
#include "vmm/serial_16550.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;

// Of proto::Measurements.
constexpr std::uint32_t kMeasurementsVersion = 1;

std::uint64_t read_clock(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(time.tv_nsec);
}

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

Result<std::unique_ptr<device::NetworkBackend>> make_network(const proto::VirtioNetwork& network,
                                                             vmm::EventLoop& loop) {
  if (network.has_tap()) {
    return device::TapNetwork::create(loop, network.tap().name());
  }
  return device::UserNetwork::create(loop);
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
          disk.path(), {.read_only = disk.read_only(), .serial = disk.serial()}, loop);
      return block ? add_virtio(device, std::move(*block)) : std::unexpected(block.error());
    }
    case proto::Device::kVirtioPort:
      return add_port(device);
    case proto::Device::kVirtioInput:
      return add_input(device);
    case proto::Device::kVirtioNetwork:
      return add_network(device);
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
  const proto::VirtioNetwork& network = device.virtio_network();
  device::MacAddress mac{};
  if (network.mac().size() != mac.size()) {
    return fail("a network device's address has {} bytes, not {}", mac.size(),
                network.mac().size());
  }
  std::ranges::copy(network.mac(), mac.begin());
  auto backend = make_network(network, machine_->event_loop());
  return backend
             ? add_virtio(device, std::make_unique<device::NetworkDevice>(mac, std::move(*backend)))
             : std::unexpected(backend.error());
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
  machine_control_ = std::make_unique<vmm::MachineControl>(vmm::MachineControl::Handlers{
      .power_off =
          [&machine](std::uint8_t exit_code) {
            machine.stop(
                {.kind = vmm::StopReason::Kind::kPowerOff, .exit_code = exit_code, .detail = {}});
          },
      .reset =
          [&machine] {
            machine.stop({.kind = vmm::StopReason::Kind::kResetRequested, .detail = {}});
          }});
  return machine_->mmio_bus().insert(device.address(), vmm::MachineControl::kSize,
                                     *machine_control_);
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

proto::Measurements AssembledMachine::measure(const proto::Configuration& configuration) const {
  proto::Measurements measurements;
  // The clock of a vCPU that runs is read once it comes out of the guest, which may be never.
  if (machine_->state() != vmm::MachineState::kRunning) {
    measure_milestones(*measurements.mutable_milestones(), configuration.started_at_ns());
  }
  if (configuration.measure_memory()) {
    measure_memory(*measurements.mutable_memory());
  }
  if (machine_control_) {
    for (const auto& [number, count] : machine_control_->missed_calls()) {
      proto::MissedCall& missed = *measurements.add_missed_calls();
      missed.set_number(number);
      missed.set_count(count);
    }
  }
  measure_counters(configuration, measurements);
  measure_boot(*measurements.mutable_boot(), configuration.started_at_ns());
  return measurements;
}

void AssembledMachine::measure_counters(const proto::Configuration& configuration,
                                        proto::Measurements& measurements) const {
  measurements.set_version(kMeasurementsVersion);
  measurements.set_measured_at_ns(read_clock(CLOCK_MONOTONIC));
  measurements.set_process_time_ns(read_clock(CLOCK_PROCESS_CPUTIME_ID));
  for (unsigned vcpu = 0; vcpu < machine_->vcpu_count(); ++vcpu) {
    measurements.add_processors()->set_time_ns(
        static_cast<std::uint64_t>(machine_->processor_time(vcpu).count()));
    const vmm::ExitCounts::Snapshot counts = machine_->exit_counts(vcpu);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const auto name = vmm::exit_reason_name(static_cast<vmm::ExitReason>(i));
      (*measurements.mutable_exits())[std::string(name)] += counts[i];
    }
  }
  for (const device::VirtioBus::QueueFigures& figures : virtio_bus_->queue_figures()) {
    const auto device =
        std::ranges::find(configuration.devices(), figures.address, &proto::Device::address);
    proto::Queue& queue = *measurements.add_queues();
    queue.set_device(device == configuration.devices().end() ? "" : device->name());
    queue.set_index(figures.index);
    queue.set_waiting(figures.waiting);
    queue.set_in_flight(figures.in_flight);
    queue.set_completed(figures.completed);
  }
}

void AssembledMachine::measure_boot(proto::Boot& boot, std::uint64_t process_started_at_ns) const {
  using Time = std::optional<std::chrono::steady_clock::time_point>;
  const std::chrono::nanoseconds begin(static_cast<std::int64_t>(process_started_at_ns));
  const auto microseconds = [begin](const Time& time) {
    const auto since =
        std::chrono::duration_cast<std::chrono::microseconds>(time->time_since_epoch() - begin);
    return static_cast<std::uint64_t>(std::max<std::int64_t>(since.count(), 0));
  };
  if (started_) {
    boot.set_machine_started_us(microseconds(started_));
  }
  const std::vector<Time> drivers = virtio_bus_->driver_times();
  const auto first = std::ranges::min_element(drivers, [](const Time& left, const Time& right) {
    return left && (!right || *left < *right);  // Those without a driver come last.
  });
  if (first != drivers.end() && *first) {
    boot.set_first_driver_us(microseconds(*first));
    boot.set_last_driver_us(microseconds(*std::ranges::max_element(drivers)));
  }
}

void AssembledMachine::measure_milestones(proto::Milestones& milestones,
                                          std::uint64_t process_started_at_ns) const {
  using Milestone = vmm::MachineControl::Milestone;
  const auto khz = machine_->tsc_khz();
  const auto now = machine_->sample_clock();
  if (!machine_control_ || !khz || *khz == 0 || !now) {
    return;
  }
  const std::chrono::nanoseconds now_ns = now->host_time.time_since_epoch();
  const auto started_ns = static_cast<std::int64_t>(process_started_at_ns);
  const auto microseconds = [&](Milestone which) -> std::optional<std::uint64_t> {
    const auto ticks = machine_control_->milestone(which);
    // The guest may write anything; a time that lies ahead or before the start is none.
    if (!ticks || *ticks > now->guest_tsc) {
      return std::nullopt;
    }
    const double ago_ns = static_cast<double>(now->guest_tsc - *ticks) * 1e6 / *khz;
    const double since_start_us = (static_cast<double>(now_ns.count() - started_ns) - ago_ns) / 1e3;
    return since_start_us < 0 ? std::nullopt
                              : std::optional(static_cast<std::uint64_t>(since_start_us));
  };
  if (const auto time = microseconds(Milestone::kKernelEntry)) {
    milestones.set_kernel_entry_us(*time);
  }
  if (const auto time = microseconds(Milestone::kFirstUserInstruction)) {
    milestones.set_first_user_us(*time);
  }
  if (const auto time = microseconds(Milestone::kCommandStarted)) {
    milestones.set_command_started_us(*time);
  }
  if (const auto time = microseconds(Milestone::kCommandEnded)) {
    milestones.set_command_ended_us(*time);
  }
}

Result<MemoryFigures> AssembledMachine::read_memory() const {
  std::vector<AddressRange> guest;
  for (const vmm::MemorySlot& slot : machine_->memory().slots()) {
    const auto begin = reinterpret_cast<std::uintptr_t>(slot.host);
    guest.push_back({begin, begin + slot.size});
  }
  const auto resident = resident_memory_outside(guest);
  const auto touched = machine_->memory().touched_bytes();
  if (!resident || !touched) {
    return std::unexpected(resident ? touched.error() : resident.error());
  }
  return MemoryFigures{.process = *resident, .guest_touched_kib = *touched / 1024};
}

void AssembledMachine::measure_memory(proto::Memory& memory) const {
  const auto figures = memory_meter_.figures(machine_->state() == vmm::MachineState::kRunning);
  if (!figures) {
    spdlog::warn("cannot measure memory: {}", figures.error().message());
    return;
  }
  memory.set_vmm_rss_kib(figures->process.total_kib);
  memory.set_vmm_anonymous_kib(figures->process.anonymous_kib);
  memory.set_guest_touched_kib(figures->guest_touched_kib);
}

}  // namespace ensemble::control
