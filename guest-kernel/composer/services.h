#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "guest-kernel/chips/catalogue.h"
#include "guest-kernel/composer/address_map.h"
#include "guest-kernel/composer/driver_table.h"
#include "guest-kernel/composer/loader.h"
#include "guest-kernel/composer/system.h"
#include "guest-kernel/lib/fixed_vector.h"

namespace composer {

// A driver, running or not, for one device.
struct Service {
  const Device* device = nullptr;
  const DriverKind* kind = nullptr;
  guest::DeviceRecord* record = nullptr;
  std::optional<Program> program;
  Instance instance;
  std::uint64_t shared_offset = 0;  // in the instance's block
  std::uint64_t large_offset = 0;   // in region kComposerMemory
  bool has_large_memory = false;
  std::optional<std::size_t> bus;  // of a chip: the index of its bus's service
  std::size_t bus_number = 0;      // of a chip: of its bus, or of the bus itself, from 0 on
  std::size_t domain = 0;
  std::size_t index = 0;
  std::size_t place = 0;   // among the drivers of its domain
  bool wanted = false;     // started, or to be started again with its domain
  bool connected = false;  // port and interrupt exist
  bool abandoned = false;  // not started any more

  // In its own domain and in its client's.
  std::uint64_t large_address() const { return kLargeSharedAddress + index * kLargeSharedSlice; }

  // What its clients know a chip by (start_info.h).
  std::uint32_t chip_value() const {
    return guest::chip_value(chips::find_chip(device->compatible).value_or(0xff), device->address,
                             bus_number);
  }

  guest::Slot port() const { return slots_at(index); }
  guest::Slot interrupt_signal() const { return slots_at(index) + 1; }
  guest::Slot interrupt() const { return slots_at(index) + 2; }
  guest::Slot ports() const { return slots_at(index) + 3; }

 private:
  static guest::Slot slots_at(std::size_t index);
};

// A protection domain and the drivers in it.
struct ServiceDomain {
  std::array<char, 24> name{};
  std::size_t services = 0;
  std::uint32_t restarts = 0;
  bool running = false;
  bool known_fault_port = false;
};

// Matches devices to drivers, puts drivers into domains, starts them, and starts again what died.
class Services {
 public:
  // Plans all drivers, fills in the device table, and starts the console's: what a command needs in
  // any case. A driver that cannot be started is recorded in the table; nothing else suffers.
  // `system` outlives this.
  void start(System& system);

  // Takes the large pages that drivers share with their client. Nothing can be allocated of the
  // composer's memory afterwards.
  void reserve_large_memory();
  // Maps those of `service` into a domain, where it has any.
  guest::Status map_large_memory(const Service& service, guest::Slot domain) const;

  // Starts all other drivers but those on demand, after reserve_large_memory(). Once is enough.
  void start_rest();
  // Starts service `index`, and before it that of its bus. Again does nothing. kBadState: its
  // driver cannot run.
  guest::Status start_on_demand(std::size_t index);
  // Kernel memory that the domains take which do not run yet, in pages.
  std::uint64_t pages_to_start() const;

  // The service that the Linux server's console is, or nullptr.
  const Service* console() const { return console_; }
  const guest::FixedVector<Service, kMaximumDevices>& all() const { return services_; }
  // Where its client's share of memory is, in region kComposerMemory and mapped here.
  std::uint64_t shared_memory_offset(const Service& service) const {
    return service.instance.block.offset + service.shared_offset;
  }
  std::byte* shared_memory(const Service& service) const {
    return service.instance.block.bytes.data() + service.shared_offset;
  }

  // A thread of domain `domain` took a fault: ends the domain and starts it again, a few times.
  void restart(std::size_t domain, std::string_view reason);
  // The driver of `service` has failed, or died too often: whoever calls it learns that at once.
  void abandon(std::size_t service);
  // Copies into the device table what the drivers say of themselves.
  void refresh();

 private:
  // Kernel memory of a domain: so many pages, and so many for each service in it.
  static constexpr std::uint64_t kDomainPages = 8;
  static constexpr std::uint64_t kPagesPerService = 4;

  void identify(Device& device);
  bool is_wanted(const Device& device, const DriverKind& kind) const;
  void plan(const Device& device, const DriverKind& kind, guest::DeviceRecord& record);
  std::size_t domain_for(const DriverKind& kind);
  std::optional<std::size_t> service_of(std::size_t device) const;
  void start_first(Service& service);
  void start_domain(std::size_t domain, bool again);
  void start_in_domain(Service& service, bool again);
  guest::Status start_service(Service& service, bool again);
  static void record_failure(const Service& service, guest::Status status);
  guest::Status connect(Service& service);
  void describe(const Service& service, guest::Slot first_slot);
  guest::Status grant(const Service& service, guest::Slot domain, guest::Slot first_slot);

  System* system_ = nullptr;
  guest::FixedVector<Service, kMaximumDevices> services_;
  guest::FixedVector<ServiceDomain, kMaximumDevices> domains_;
  Service* console_ = nullptr;
};

}  // namespace composer
