#include "guest-kernel/composer/services.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/composer/address_map.h"
#include "guest-kernel/drivers/driver_protocol.h"
#include "guest-kernel/lib/format.h"

namespace composer {
namespace {

using guest::Role;
using guest::Slot;
using guest::Status;

constexpr std::uint32_t kMostRestarts = 3;
// Slots in a driver's domain: the domain's own, then sixteen per driver.
constexpr Slot kFirstServiceSlot = 16;
constexpr Slot kSlotsPerService = 16;
// What a service finds from its first slot on.
enum : Slot {
  kGivenPort,
  kGivenClient,
  kGivenSupervisor,
  kGivenInterrupt,
  kGivenPorts,
  kGivenBus,
  kGivenEnd
};

constexpr std::uint64_t kReadWrite = abi::kRightRead | abi::kRightWrite;

Slot domain_slot(std::size_t domain) {
  return kDomainSlots + domain * 3;
}
Slot fault_slot(std::size_t domain) {
  return kDomainSlots + domain * 3 + 1;
}
Slot spare_slot(std::size_t domain) {
  return kDomainSlots + domain * 3 + 2;
}

bool list_has(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::size_t end = list.find('\0');
    if (list.substr(0, end) == word) {
      return true;
    }
    list.remove_prefix(end == std::string_view::npos ? list.size() : end + 1);
  }
  return false;
}

void add_resource(guest::StartInfo& info, const guest::Resource& resource) {
  if (info.resource_count < guest::StartInfo::kMaximumResources) {
    info.resources[info.resource_count++] = resource;
  }
}

// Whether a virtio console is one for a program: it has a port beside port 0, and no more
// (docs/machine.md). `registers` are those of its transport.
bool is_agent_port(volatile std::uint32_t* registers) {
  enum : std::size_t { kFeatures = 0x10 / 4, kFeaturesSelect = 0x14 / 4, kPortCount = 0x104 / 4 };
  constexpr std::uint32_t kFeatureMultiport = 1 << 1;
  registers[kFeaturesSelect] = 0;
  return (registers[kFeatures] & kFeatureMultiport) != 0 && registers[kPortCount] == 2;
}

}  // namespace

Slot Service::slots_at(std::size_t index) {
  return kServiceSlots + index * 4;
}

// Reads the virtio device ID of a transport that nothing describes (virtio 1.2, 4.2.2).
void Services::identify(Device& device) {
  constexpr std::uint32_t kMagic = 0x7472'6976;
  const std::uint64_t page = device.address & ~(abi::kPageSize - 1);
  if (device.address < kDeviceMemoryBase || device.address % 4 != 0 ||
      guest::map(abi::kSelfSlot, kMachineControlAddress, abi::kComposerDeviceMemory,
                 page - kDeviceMemoryBase, abi::kPageSize, kReadWrite) != Status::kOk) {
    return;
  }
  auto* registers =
      reinterpret_cast<volatile std::uint32_t*>(kMachineControlAddress + (device.address - page));
  if (registers[0] != kMagic) {
    return;
  }
  device.compatible = virtio_compatible(registers[2]);
  if (device.compatible == "virtio,device3" && is_agent_port(registers)) {
    device.role = "agent";
  }
}

// One console is enough: the virtio console where there is one, unless the command line says
// otherwise. The 16550 then stays the composer's own.
bool Services::is_wanted(const Device& device, const DriverKind& kind) const {
  if (kind.role != Role::kConsole) {
    return true;
  }
  if (console_ != nullptr) {
    return false;
  }
  const auto is_virtio_console = [](const Device& other) {
    return other.compatible == "virtio,device3" && other.role.empty();
  };
  const auto& devices = system_->machine.devices;
  const bool use_virtio = !system_->machine.prefer_serial &&
                          std::any_of(devices.begin(), devices.end(), is_virtio_console);
  return use_virtio == is_virtio_console(device);
}

std::size_t Services::domain_for(const DriverKind& kind) {
  std::array<char, 24> name{};
  guest::TextWriter text({name.data(), name.size() - 1});
  const auto& groups = system_->machine.groups;
  const auto group = std::find_if(groups.begin(), groups.end(), [&](const DomainGroup& candidate) {
    return list_has(candidate.services, kind.service);
  });
  const bool shared = group != groups.end() || system_->machine.packed;
  text.text(group != groups.end() ? group->name : shared ? "drivers" : kind.service);
  if (!shared) {
    const auto same = std::count_if(services_.begin(), services_.end(),
                                    [&](const Service& other) { return other.kind == &kind; });
    if (same != 0) {
      text.decimal(static_cast<std::uint64_t>(same));
    }
  }
  for (std::size_t i = 0; i < domains_.size(); ++i) {
    if (domains_[i].name == name) {
      return i;
    }
  }
  ServiceDomain domain;
  domain.name = name;
  domains_.push_back(domain);  // no more domains than devices
  return domains_.size() - 1;
}

std::optional<std::size_t> Services::service_of(std::size_t device) const {
  for (const Service& service : services_) {
    if (service.device == &system_->machine.devices[device]) {
      return service.index;
    }
  }
  return std::nullopt;
}

void Services::plan(const Device& device, const DriverKind& kind, guest::DeviceRecord& record) {
  Service service;
  service.device = &device;
  service.kind = &kind;
  service.record = &record;
  service.index = services_.size();
  const char* reason = "";
  service.program = find_program(system_->archive, system_->archive_offset, kind.program,
                                 kRegistersInSlice, reason);
  guest::copy_text(record.driver, kind.program.substr(kind.program.find('/') + 1));
  record.state = guest::DeviceState::kFailed;
  if (!service.program) {
    guest::copy_text(record.message, reason);
    return;
  }
  if (device.bus) {
    service.bus = service_of(*device.bus);
    if (!service.bus) {
      guest::copy_text(record.message, "its bus has no driver");
      return;
    }
    service.bus_number = services_[*service.bus].bus_number;
  } else {
    service.bus_number = static_cast<std::size_t>(
        std::count_if(services_.begin(), services_.end(),
                      [&kind](const Service& other) { return other.kind == &kind; }));
  }
  const auto instance = make_instance(system_->memory, *service.program,
                                      kProgramsAddress + service.index * kProgramSlice,
                                      kind.dma_size + kind.shared_size, kRegistersInSlice);
  if (!instance) {
    guest::copy_text(record.message, "not enough memory for it");
    return;
  }
  service.instance = *instance;
  service.shared_offset = instance->extra_offset + kind.dma_size;
  service.domain = domain_for(kind);
  service.place = domains_[service.domain].services++;
  guest::copy_text(record.domain, guest::text_of(domains_[service.domain].name));
  record.state = kind.on_demand ? guest::DeviceState::kIdle : guest::DeviceState::kStarting;
  Service* kept = services_.push_back(service);
  if (kind.role == Role::kConsole) {
    console_ = kept;
  }
}

void Services::start(System& system) {
  system_ = &system;
  guest::DeviceTable& table = *system_->device_table;
  for (Device& device : system_->machine.devices) {
    if (device.compatible.empty()) {
      identify(device);
    }
  }
  for (const Device& device : system_->machine.devices) {
    if (device.compatible.empty()) {
      continue;  // a transport without a device
    }
    guest::DeviceRecord& record = table.devices[table.device_count++];
    guest::copy_text(record.path, device.path);
    guest::copy_text(record.compatible, device.compatible);
    record.address = device.address;
    record.size = device.size;
    record.interrupt = device.has_interrupt ? device.gsi : ~std::uint32_t{0};
    const DriverKind* kind = driver_for(device.compatible, device.role);
    if (kind != nullptr && is_wanted(device, *kind)) {
      plan(device, *kind, record);
    } else if (device.compatible == "ensemble,machine-control" ||
               device.compatible == "ensemble,power-port" || device.compatible == "ns16550a") {
      record.state = guest::DeviceState::kInComposer;
      guest::copy_text(record.driver, "composer");
      guest::copy_text(record.domain, "composer");
    }
  }
  if (console_ != nullptr) {
    console_->wanted = true;
    start_domain(console_->domain, false);
  }
}

// What lives on when the driver is started again: its port, its interrupt, its range of I/O ports.
Status Services::connect(Service& service) {
  if (service.connected) {
    return Status::kOk;
  }
  Status status = guest::create_port(service.port());
  if (status == Status::kOk && service.device->has_interrupt) {
    status = guest::copy_capability(abi::kSelfSlot, service.interrupt_signal(), service.port(),
                                    abi::kRightSignal, driver::kInterruptSignal);
    if (status == Status::kOk) {
      status = guest::create_interrupt(service.interrupt(), abi::kComposerInterrupts,
                                       service.device->gsi, service.device->trigger,
                                       service.interrupt_signal());
    }
  }
  if (status == Status::kOk && service.device->io_space) {
    status = guest::carve(service.ports(), abi::kComposerPorts, service.device->address,
                          service.device->size);
  }
  service.connected = status == Status::kOk;
  return status;
}

// The driver's StartInfo.
void Services::describe(const Service& service, Slot first_slot) {
  const Device& device = *service.device;
  const Instance& instance = service.instance;
  guest::StartInfo& info = instance.info();
  info.version = 1;
  info.first_free_slot = first_slot + kGivenEnd;
  info.end_slot = first_slot + kSlotsPerService;
  info.processor_count = static_cast<std::uint32_t>(system_->machine.apic_ids.size());
  info.total_memory = system_->boot->total_memory;
  add_resource(info, {Role::kOwnPort, 0, first_slot + kGivenPort, 0, 0, 0});
  add_resource(info, {Role::kSupervisor, 0, first_slot + kGivenSupervisor, 0, 0, 0});
  if (service.kind->client_signal != 0) {
    add_resource(info, {Role::kClient, 0, first_slot + kGivenClient, 0, 0, 0});
  }
  if (device.io_space) {
    add_resource(info, {Role::kIoPorts, static_cast<std::uint32_t>(device.address),
                        first_slot + kGivenPorts, 0, device.size, 0});
  } else if (service.bus) {
    add_resource(info, {Role::kBus, static_cast<std::uint32_t>(device.address),
                        first_slot + kGivenBus, 0, 0, 0});
    add_resource(info, {Role::kChip, service.chip_value(), guest::kNoSlot, 0, 0, 0});
  } else {
    add_resource(info, {Role::kRegisters, 0, guest::kNoSlot,
                        instance.base + kRegistersInSlice + device.address % abi::kPageSize,
                        device.size, device.address});
  }
  if (device.trigger == abi::InterruptTrigger::kLevelHigh) {
    add_resource(info, {Role::kInterrupt, 0, first_slot + kGivenInterrupt, 0, 0, 0});
  }
  if (service.kind->dma_size != 0) {
    add_resource(info,
                 {Role::kDmaMemory, 0, guest::kNoSlot, instance.address_of(instance.extra_offset),
                  service.kind->dma_size, instance.physical_of(instance.extra_offset)});
  }
  if (service.kind->shared_size != 0) {
    add_resource(
        info, {Role::kSharedMemory, 0, guest::kNoSlot, instance.address_of(service.shared_offset),
               service.kind->shared_size, instance.physical_of(service.shared_offset)});
  }
  if (service.kind->large_size != 0) {
    add_resource(info,
                 {Role::kSharedMemory, 0, guest::kNoSlot, service.large_address(),
                  service.kind->large_size, system_->boot->memory_base + service.large_offset});
  }
}

// The driver's registers and capabilities: its own device's, and nothing else.
Status Services::grant(const Service& service, Slot domain, Slot first_slot) {
  const Device& device = *service.device;
  // It may signal itself, by timers.
  Status status = guest::copy_capability(domain, first_slot + kGivenPort, service.port(),
                                         abi::kRightReceive | abi::kRightSignal);
  const auto then = [&status](auto&& step) {
    if (status == Status::kOk) {
      status = step();
    }
  };
  then([&] {
    return guest::copy_capability(domain, first_slot + kGivenSupervisor, kOwnPortSlot,
                                  abi::kRightSignal, std::uint64_t{1} << service.index);
  });
  if (service.kind->client_signal != 0) {
    then([&] {
      return guest::copy_capability(domain, first_slot + kGivenClient, kServerPortSlot,
                                    abi::kRightSignal, service.kind->client_signal);
    });
  }
  if (device.trigger == abi::InterruptTrigger::kLevelHigh && device.has_interrupt) {
    then([&] {
      return guest::copy_capability(domain, first_slot + kGivenInterrupt, service.interrupt());
    });
  }
  if (device.io_space) {
    then([&] { return guest::copy_capability(domain, first_slot + kGivenPorts, service.ports()); });
  } else if (service.bus) {
    then([&] {
      return guest::copy_capability(domain, first_slot + kGivenBus, services_[*service.bus].port(),
                                    abi::kRightCall);
    });
  } else {
    const std::uint64_t page = device.address & ~(abi::kPageSize - 1);
    const std::uint64_t end =
        (device.address + device.size + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
    then([&] {
      return device.address < kDeviceMemoryBase || end <= page || end - page > kRegistersSize
                 ? Status::kBadArgument
                 : guest::map(domain, service.instance.base + kRegistersInSlice,
                              abi::kComposerDeviceMemory, page - kDeviceMemoryBase, end - page,
                              kReadWrite);
    });
  }
  return status;
}

void Services::reserve_large_memory() {
  for (Service& service : services_) {
    if (service.kind->large_size != 0) {
      const auto offset = system_->memory.reserve(service.kind->large_size);
      service.has_large_memory = offset.has_value();
      service.large_offset = offset.value_or(0);
    }
  }
}

Status Services::map_large_memory(const Service& service, Slot domain) const {
  if (service.kind->large_size == 0) {
    return Status::kOk;
  }
  return service.has_large_memory
             ? guest::map(domain, service.large_address(), abi::kComposerMemory,
                          service.large_offset, service.kind->large_size, kReadWrite)
             : Status::kNoMemory;
}

Status Services::start_service(Service& service, bool again) {
  const Slot domain = domain_slot(service.domain);
  const Slot first_slot = kFirstServiceSlot + service.place * kSlotsPerService;
  Status status = connect(service);
  if (status != Status::kOk) {
    return status;
  }
  fill_instance(*service.program, service.instance, again);
  describe(service, first_slot);
  status = map_instance(domain, *service.program, service.instance);
  if (status == Status::kOk) {
    status = map_large_memory(service, domain);
  }
  if (status == Status::kOk) {
    status = grant(service, domain, first_slot);
  }
  if (status != Status::kOk) {
    return status;
  }
  const Instance& instance = service.instance;
  return guest::create_thread(
      guest::kNoSlot, domain,
      {instance.base + service.program->image.entry(), instance.address_of(instance.stack_size),
       instance.address_of(instance.info_offset), guest::kDriverPriority});
}

void Services::start_domain(std::size_t index, bool again) {
  ServiceDomain& domain = domains_[index];
  const Slot slot = domain_slot(index);
  Status status = guest::create_domain(
      slot,
      std::max<std::uint64_t>(
          64, std::bit_ceil(kFirstServiceSlot + domain.services * kSlotsPerService)),
      kDomainPages + domain.services * kPagesPerService);
  if (status == Status::kOk && !domain.known_fault_port) {
    status = guest::copy_capability(abi::kSelfSlot, fault_slot(index), kOwnPortSlot,
                                    abi::kRightCall, kFaultBadge + index);
    domain.known_fault_port = status == Status::kOk;
  }
  if (status == Status::kOk) {
    status = guest::set_fault_port(slot, fault_slot(index));
  }
  domain.running = status == Status::kOk;
  for (Service& service : services_) {
    if (service.domain == index && service.wanted && !service.abandoned) {
      if (domain.running) {
        start_in_domain(service, again);
      } else {
        record_failure(service, status);
        abandon(service.index);
      }
    }
  }
}

void Services::start_in_domain(Service& service, bool again) {
  const Status status = start_service(service, again);
  if (status != Status::kOk) {
    record_failure(service, status);
    abandon(service.index);
  }
}

void Services::record_failure(const Service& service, Status status) {
  service.record->state = guest::DeviceState::kFailed;
  guest::copy_text(service.record->message, guest::status_name(status));
}

void Services::restart(std::size_t index, std::string_view reason) {
  if (index >= domains_.size() || !domains_[index].running) {
    return;
  }
  ServiceDomain& domain = domains_[index];
  guest::end_domain(domain_slot(index));
  guest::delete_capability(abi::kSelfSlot, domain_slot(index));
  domain.running = false;
  const bool give_up = ++domain.restarts > kMostRestarts;
  for (Service& service : services_) {
    if (service.domain == index && service.wanted && !service.abandoned) {
      service.record->restarts = domain.restarts;
      service.record->state =
          give_up ? guest::DeviceState::kStopped : guest::DeviceState::kStarting;
      guest::copy_text(service.record->message, reason);
      if (give_up) {
        abandon(service.index);
      }
    }
  }
  if (!give_up) {
    start_domain(index, true);
  }
}

// Takes from all the right to receive from its port. What calls it keeps its capability.
void Services::abandon(std::size_t index) {
  Service& service = services_[index];
  if (std::exchange(service.abandoned, true) || !service.connected) {
    return;
  }
  const Slot spare = spare_slot(service.domain);
  guest::copy_capability(abi::kSelfSlot, spare, service.port(),
                         abi::kRightCall | abi::kRightSignal);
  guest::delete_capability(abi::kSelfSlot, service.port());
  guest::copy_capability(abi::kSelfSlot, service.port(), spare);
  guest::delete_capability(abi::kSelfSlot, spare);
  if (domains_[service.domain].running) {
    guest::delete_capability(domain_slot(service.domain),
                             kFirstServiceSlot + service.place * kSlotsPerService + kGivenPort);
  }
}

}  // namespace composer
