#include "guest-kernel/drivers/driver.h"

#include <algorithm>
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

guest::Received Driver::receive() {
  const auto received = receiver().wait();
  if (!received) {
    fail(guest::status_name(received.error()));
  }
  if (!received->is_notification()) {
    waiting_.push_back(received->token);
  }
  return *received;
}

void Driver::reply(std::uint64_t token, const guest::Message& answer) {
  std::uint64_t* const place = std::find(waiting_.begin(), waiting_.end(), token);
  if (place != waiting_.end()) {
    *place = waiting_[0];
    waiting_.erase_first();
  }
  guest::reply(token, answer);
}

void Driver::fail(std::string_view message) {
  guest::copy_text(info_->status.message, message);
  std::atomic_ref(info_->status.state).store(guest::DriverState::kFailed);
  // The nucleus lets them wait for as long as the domain is there.
  for (const std::uint64_t token : waiting_) {
    guest::reply(token, {{static_cast<std::uint64_t>(guest::DeviceStatus::kDeviceError)}});
  }
  signal_supervisor();
  guest::exit_thread();
}

}  // namespace driver
