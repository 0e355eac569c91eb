#include "guest-kernel/drivers/driver.h"

#include <atomic>

#include "guest-kernel/lib/format.h"

namespace driver {

const guest::Resource& Driver::need(guest::Role role, std::string_view what) {
  const guest::Resource* resource = info_->find(role);
  if (resource == nullptr) {
    fail(what);
  }
  return *resource;
}

void Driver::add_property(std::string_view name, std::uint64_t value) {
  guest::DriverStatus& status = info_->status;
  if (status.property_count < status.properties.size()) {
    guest::DriverProperty& property = status.properties[status.property_count++];
    guest::copy_text(property.name, name);
    property.value = value;
  }
}

void Driver::running() {
  std::atomic_ref(info_->status.state).store(guest::DriverState::kRunning);
}

void Driver::fail(std::string_view message) {
  guest::copy_text(info_->status.message, message);
  std::atomic_ref(info_->status.state).store(guest::DriverState::kFailed);
  signal_supervisor();
  guest::exit_thread();
}

}  // namespace driver
