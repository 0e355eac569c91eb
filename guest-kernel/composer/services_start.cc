#include <algorithm>

#include "guest-kernel/composer/services.h"
#include "guest-kernel/lib/format.h"

// When services start, and how they are.
namespace composer {

using guest::Status;

void Services::start_rest() {
  for (Service& service : services_) {
    if (!service.wanted && !service.kind->on_demand) {
      start_first(service);
    }
  }
}

Status Services::start_on_demand(std::size_t index) {
  if (index >= services_.size()) {
    return Status::kBadArgument;
  }
  Service& service = services_[index];
  if (service.bus) {
    if (const Status status = start_on_demand(*service.bus); status != Status::kOk) {
      return status;
    }
  }
  if (!service.wanted) {
    start_first(service);
  }
  return service.record->state == guest::DeviceState::kFailed ||
                 service.record->state == guest::DeviceState::kStopped
             ? Status::kBadState
             : Status::kOk;
}

std::uint64_t Services::pages_to_start() const {
  std::uint64_t pages = 0;
  for (const ServiceDomain& domain : domains_) {
    // One that runs has what all its drivers need.
    pages += domain.running ? 0 : kDomainPages + domain.services * kPagesPerService;
  }
  return pages;
}

void Services::start_first(Service& service) {
  service.wanted = true;
  service.record->state = guest::DeviceState::kStarting;
  if (domains_[service.domain].running) {
    start_in_domain(service, false);
  } else {
    start_domain(service.domain, false);
  }
}

void Services::refresh() {
  for (Service& service : services_) {
    guest::DeviceRecord& record = *service.record;
    if (record.state != guest::DeviceState::kStarting &&
        record.state != guest::DeviceState::kRunning) {
      continue;
    }
    // The driver may write while this reads: what is checked is the copy.
    const guest::DriverStatus status = service.instance.info().status;
    record.state = status.state == guest::DriverState::kRunning  ? guest::DeviceState::kRunning
                   : status.state == guest::DriverState::kFailed ? guest::DeviceState::kFailed
                                                                 : guest::DeviceState::kStarting;
    record.property_count = std::min<std::uint32_t>(
        status.property_count, static_cast<std::uint32_t>(record.properties.size()));
    record.properties = status.properties;
    for (guest::DriverProperty& property : record.properties) {
      property.name.back() = '\0';
    }
    if (status.state == guest::DriverState::kFailed) {
      guest::copy_text(record.message, guest::text_of(status.message));
    }
  }
}

}  // namespace composer
