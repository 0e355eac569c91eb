#include "guest-kernel/composer/server.h"

#include <algorithm>
#include <cstring>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/composer/address_map.h"
#include "guest-kernel/drivers/driver_protocol.h"
#include "guest-kernel/ext4/protocol.h"
#include "guest-kernel/ext4/role.h"
#include "guest-kernel/lib/format.h"

namespace composer {
namespace {

using guest::Role;
using guest::Slot;
using guest::Status;

constexpr std::string_view kProgram = "linux/server";
constexpr std::uint64_t kSlots = 4096;
constexpr Slot kFirstGivenSlot = 16;
// Kernel memory that the composer keeps beside what it needs to start drivers later.
constexpr std::uint64_t kReservePages = 64;

constexpr std::uint64_t page_up(std::uint64_t value) {
  return (value + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
}

std::uint64_t shared_address(const Service& service) {
  return kServerSharedAddress + service.index * kServerSharedSlice;
}

}  // namespace

void LinuxServer::check(Status status) {
  status_ = status_ == Status::kOk ? status : status_;
}

void LinuxServer::describe(const guest::Resource& resource) {
  guest::StartInfo& info = instance_.info();
  if (info.resource_count == guest::StartInfo::kMaximumResources) {
    check(Status::kNoMemory);
  } else {
    info.resources[info.resource_count++] = resource;
  }
}

void LinuxServer::give(guest::Resource resource, Slot own, std::uint64_t rights,
                       std::uint64_t badge) {
  resource.slot = next_++;
  describe(resource);
  if (status_ == Status::kOk) {
    check(guest::copy_capability(kServerDomainSlot, resource.slot, own, rights, badge));
  }
}

void LinuxServer::defer(guest::Resource resource, Slot own, std::uint64_t rights,
                        std::uint64_t badge) {
  resource.slot = next_++;
  describe(resource);
  if (deferred_.push_back({resource.slot, own, rights, badge}) == nullptr) {
    check(Status::kNoMemory);
  }
}

Status LinuxServer::create_domain() {
  const auto used = guest::information(abi::InformationKind::kDomain, 0, abi::kSelfSlot);
  if (!used) {
    return used.error();
  }
  const std::uint64_t free_pages = ((*used)[1] - (*used)[0]) / abi::kPageSize;
  const std::uint64_t reserve = kReservePages + services_->pages_to_start();
  if (free_pages <= reserve) {
    return Status::kNoMemory;
  }
  Status status = guest::create_domain(kServerDomainSlot, kSlots, free_pages - reserve,
                                       {.highest_priority = guest::kServerPriority, .bare = true});
  if (status == Status::kOk) {
    status = guest::copy_capability(abi::kSelfSlot, kServerFaultSlot, kOwnPortSlot, abi::kRightCall,
                                    kServerFaultBadge);
  }
  return status == Status::kOk ? guest::set_fault_port(kServerDomainSlot, kServerFaultSlot)
                               : status;
}

void LinuxServer::map_shared_memory(const Service& service) {
  if (service.has_large_memory) {
    check(services_->map_large_memory(service, kServerDomainSlot));
  }
  if (service.kind->shared_size != 0) {
    check(guest::map(kServerDomainSlot, shared_address(service), abi::kComposerMemory,
                     services_->shared_memory_offset(service), service.kind->shared_size,
                     abi::kRightRead | abi::kRightWrite));
  }
}

// The drivers' ports, and the memory that is shared with them: the console's at once.
void LinuxServer::give_drivers() {
  constexpr std::uint64_t kRights = abi::kRightCall | abi::kRightSignal;
  for (const Service& service : services_->all()) {
    if (service.kind->on_demand) {
      continue;
    }
    const std::uint64_t size = service.kind->shared_size;
    guest::Resource resource{
        service.kind->role, 0, guest::kNoSlot, size == 0 ? 0 : shared_address(service), size, 0};
    if (service.kind->large_size != 0) {
      resource.address = service.has_large_memory ? service.large_address() : 0;
      resource.size = service.kind->large_size;
    }
    if (&service == services_->console()) {
      resource.value = system_->machine.console_is_data ? 1 : 0;
      map_shared_memory(service);
      give(resource, service.port(), kRights, driver::kClientSignal);
    } else {
      defer(resource, service.port(), kRights, driver::kClientSignal);
    }
  }
}

// The drivers that start when it asks for them: of chips, and of the clock. Where there are more
// than it can be told of, it sees the first of them.
void LinuxServer::describe_chips() {
  guest::StartInfo& info = instance_.info();
  for (const Service& service : services_->all()) {
    if (service.kind->on_demand && service.kind->role != Role::kNone &&
        info.resource_count < guest::StartInfo::kMaximumResources &&
        chips_.push_back({next_, service.index, false}) != nullptr) {
      const std::uint32_t value = service.kind->role == Role::kChip ? service.chip_value() : 0;
      describe({service.kind->role, value, next_++, shared_address(service),
                service.kind->shared_size, 0});
    }
  }
}

Status LinuxServer::start_driver(Slot slot) {
  const auto chip = std::find_if(chips_.begin(), chips_.end(),
                                 [slot](const Chip& each) { return each.to == slot; });
  if (chip == chips_.end()) {
    return Status::kNotFound;
  }
  Status status = services_->start_on_demand(chip->service);
  if (status != Status::kOk || chip->is_given) {
    return status;
  }
  const Service& service = services_->all()[chip->service];
  status = guest::map(kServerDomainSlot, shared_address(service), abi::kComposerMemory,
                      services_->shared_memory_offset(service), service.kind->shared_size,
                      abi::kRightRead | abi::kRightWrite);
  if (status == Status::kOk) {
    status = guest::copy_capability(kServerDomainSlot, slot, service.port(), abi::kRightSignal,
                                    driver::kClientSignal);
  }
  chip->is_given = status == Status::kOk;
  return status;
}

// Its last entries: the native tools. The server has no use for the rest.
void LinuxServer::map_boot_archive() {
  const std::uint64_t in_page = system_->tools_offset % abi::kPageSize;
  const std::uint64_t start = system_->tools_offset - in_page;
  const std::uint64_t size = page_up(system_->archive.size()) - start;
  const std::uint64_t address =
      size <= kServerSmallArchiveSize ? kServerSmallArchiveAddress : kServerLargeArchiveAddress;
  check(guest::map(kServerDomainSlot, address, abi::kComposerBootPackage,
                   system_->archive_offset + start, size, abi::kRightRead));
  describe({Role::kBootArchive, 0, guest::kNoSlot, address + in_page,
            system_->archive.size() - system_->tools_offset, 0});
}

void LinuxServer::give_root() {
  const abi::BootInfo& boot = *system_->boot;
  constexpr std::uint64_t kRights = abi::kRightRead | abi::kRightExecute;
  if (boot.root.size != 0) {
    give({Role::kRoot, 0, 0, 0, boot.root.size, 0}, abi::kComposerRoot, kRights);
  } else if (system_->root_offset != 0) {
    const std::uint64_t size = boot.boot_package.size - system_->root_offset;
    check(guest::carve(kRootSlot, abi::kComposerBootPackage, system_->root_offset, page_up(size),
                       kRights));
    give({Role::kRoot, 0, 0, 0, size, 0}, kRootSlot, kRights);
  }
}

void LinuxServer::give_memory() {
  const std::uint64_t size = system_->memory.remaining();
  check(guest::carve(kServerMemorySlot, abi::kComposerMemory, 0, size));
  give({Role::kMemory, 0, 0, 0, size, system_->boot->memory_base}, kServerMemorySlot,
       abi::kAllRights);
  if (system_->boot->high_memory_size != 0) {
    give({Role::kHighMemory, 0, 0, 0, system_->boot->high_memory_size,
          system_->boot->high_memory_base},
         abi::kComposerHighMemory, abi::kAllRights);
  }
}

void LinuxServer::defer_file_system() {
  if (!file_system_.plan(*system_, *services_)) {
    return;
  }
  defer({ext4::kRole, 0, 0, kServerFileSystemAddress, ext4::kSharedSize, 0}, kFileSystemPortSlot,
        abi::kRightCall);
}

void LinuxServer::defer_information() {
  defer({Role::kInformation, 0, 0, 0, 0, 0}, kOwnPortSlot, abi::kRightCall, kInformationBadge);
  defer({Role::kDeviceTable, 0, 0, 0, guest::kDeviceTableSize, 0}, kDeviceTableSlot,
        abi::kRightRead);
  defer({Role::kMachine, 0, 0, 0, 0, 0}, abi::kComposerMachine, abi::kRightRead);
  if (system_->boot->manifest.size != 0) {
    defer({Role::kManifest, 0, 0, 0, system_->boot->manifest.size, 0}, abi::kComposerManifest,
          abi::kRightRead);
  } else if (system_->packed_manifest.size() != 0) {
    check(guest::carve(kManifestSlot, abi::kComposerBootPackage, system_->manifest_offset,
                       page_up(system_->packed_manifest.size()), abi::kRightRead));
    defer({Role::kManifest, 0, 0, 0, system_->packed_manifest.size(), 0}, kManifestSlot,
          abi::kRightRead);
  }
}

void LinuxServer::give_command(const Machine& machine) {
  std::byte* const out = instance_.block.bytes.data() + instance_.extra_offset;
  std::memcpy(out, machine.arguments.data(), machine.arguments.size());
  std::memcpy(out + machine.arguments.size(), machine.environment.data(),
              machine.environment.size());
  describe({Role::kArguments, machine.argument_count, guest::kNoSlot,
            instance_.address_of(instance_.extra_offset),
            machine.arguments.size() + machine.environment.size(), 0});
}

const char* LinuxServer::start(System& system, Services& services) {
  system_ = &system;
  services_ = &services;
  const std::size_t command_size =
      system.machine.arguments.size() + system.machine.environment.size();
  const char* reason = nullptr;
  const auto program =
      find_program(system.archive, system.archive_offset, kProgram, kServerSize, reason);
  if (!program) {
    return reason;
  }
  const auto instance =
      make_instance(system.memory, *program, kServerAddress, command_size, kServerSize);
  if (!instance) {
    return "not enough memory for it, or it is larger than 1 MiB";
  }
  instance_ = *instance;
  next_ = kFirstGivenSlot;
  check(create_domain());
  fill_instance(*program, instance_, false);
  guest::StartInfo& info = instance_.info();
  info.version = 1;
  info.end_slot = kSlots;
  info.processor_count = static_cast<std::uint32_t>(system.machine.apic_ids.size());
  info.total_memory = system.boot->total_memory;
  guest::copy_text(info.product_name, system.machine.product_name);
  defer_file_system();
  services.reserve_large_memory();
  give({Role::kOwnPort, 0, 0, 0, 0, 0}, kServerPortSlot, abi::kAllRights);
  give({Role::kControl, 0, 0, 0, 0, 0}, kOwnPortSlot, abi::kRightCall, kControlBadge);
  give_command(system.machine);
  give_memory();
  give_root();
  map_boot_archive();
  give_drivers();
  defer_information();
  describe_chips();
  info.first_free_slot = next_;
  check(map_instance(kServerDomainSlot, *program, instance_));
  if (status_ == Status::kOk) {
    check(guest::create_thread(
        guest::kNoSlot, kServerDomainSlot,
        {instance_.base + program->image.entry(), instance_.address_of(instance_.stack_size),
         instance_.address_of(instance_.info_offset), guest::kServerPriority, abi::kAnyProcessor,
         true}));
  }
  return status_ == Status::kOk ? nullptr : guest::status_name(status_);
}

Status LinuxServer::complete() {
  if (complete_) {
    return status_;
  }
  complete_ = true;
  services_->start_rest();
  for (const Service& service : services_->all()) {
    if (&service != services_->console() && !service.kind->on_demand) {
      map_shared_memory(service);
    }
  }
  // Where it cannot be started, its port is not there: the server finds that out by calling it.
  if (file_system_.start() != Status::kNotFound) {
    check(file_system_.map_shared_memory(kServerDomainSlot, kServerFileSystemAddress));
  }
  check(guest::carve(kDeviceTableSlot, abi::kComposerMemory, system_->device_table_block.offset,
                     guest::kDeviceTableSize, abi::kRightRead));
  for (const Gift& gift : deferred_) {
    // A driver that could not be started has no port: its slot stays empty.
    guest::copy_capability(kServerDomainSlot, gift.to, gift.own, gift.rights, gift.badge);
  }
  return status_;
}

}  // namespace composer
