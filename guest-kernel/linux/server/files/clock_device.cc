#include "guest-kernel/linux/server/files/clock_device.h"

#include <asm/errno.h>
#include <linux/rtc.h>

#include <new>
#include <utility>

#include "guest-kernel/lib/clock_protocol.h"
#include "guest-kernel/linux/server/files/attribute_node.h"
#include "guest-kernel/linux/server/files/clock_file.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

ClockDevice* the_clock = nullptr;

struct ClockAttribute {
  std::string_view name;
  std::string_view text;  // empty: the driver is asked
  guest::ClockChannel channel;
};

// The system's time comes from the manifest, so that hctosys says no.
constexpr ClockAttribute kAttributes[] = {
    {"date", {}, guest::ClockChannel::kDate},
    {"dev", "254:0", {}},
    {"hctosys", "0", {}},
    {"max_user_freq", "64", {}},
    {"name", "rtc_cmos rtc_cmos", {}},
    {"since_epoch", {}, guest::ClockChannel::kSeconds},
    {"time", {}, guest::ClockChannel::kTimeOfDay},
};

bool add_files(Directory& root, ChipClient& client) {
  Directory* const device = enter_path(root, "devices/platform/rtc_cmos/rtc/rtc0");
  Directory* const links = enter_path(root, "class/rtc");
  if (device == nullptr || links == nullptr) {
    return false;
  }
  for (const ClockAttribute& each : kAttributes) {
    if (!device->add_child(new (std::nothrow) AttributeNode(
            each.name, each.text, static_cast<std::uint32_t>(each.channel), client))) {
      return false;
    }
  }
  return device->add_child(new (std::nothrow)
                               AttributeLink(Name("subsystem"), "../../../../../class/rtc")) &&
         links->add_child(new (std::nothrow) AttributeLink(
             Name("rtc0"), "../../devices/platform/rtc_cmos/rtc/rtc0"));
}

}  // namespace

void ClockDevice::open(ClockFile& file) {
  file_ = &file;
  updates_ = client_->events(guest::kClockUpdate);
  alarms_ = client_->events(guest::kClockAlarm);
}

void ClockDevice::close() {
  file_ = nullptr;
  if (!std::exchange(silence_.is_asked, true) &&
      client_->ask(silence_, static_cast<std::uint32_t>(guest::ClockChannel::kUpdates), "0") != 0) {
    silence_.is_asked = false;
  }
}

void ClockDevice::look() {
  client_->look();
  const std::uint32_t updates = client_->events(guest::kClockUpdate);
  const std::uint32_t alarms = client_->events(guest::kClockAlarm);
  const std::uint32_t new_updates = updates - std::exchange(updates_, updates);
  const std::uint32_t new_alarms = alarms - std::exchange(alarms_, alarms);
  if (new_alarms != 0) {
    alarm_is_enabled = false;
  }
  if (file_ != nullptr) {
    file_->tell(RTC_UF, new_updates);
    file_->tell(RTC_AF, new_alarms);
  }
}

bool add_clock_files(Directory& root) {
  const guest::StartInfo& info = server().info();
  const guest::Resource* const clock = info.find(guest::Role::kClock);
  if (clock == nullptr) {
    return true;
  }
  auto* const client = new (std::nothrow) ChipClient(*clock, info.slot_of(guest::Role::kControl));
  the_clock = client == nullptr ? nullptr : new (std::nothrow) ClockDevice(*client);
  return the_clock != nullptr && add_files(root, *client);
}

bool add_clock_nodes(Directory& devices) {
  if (server().info().find(guest::Role::kClock) == nullptr) {
    return true;
  }
  NewNode device;
  device.mode = kCharacterDevice | 0600;
  device.device_number = kClockDevice;
  NewNode link;
  link.mode = kSymbolicLink | 0777;
  link.target = "rtc0";
  return devices.create("rtc0", device) && devices.create("rtc", link);
}

Result<Reference<File>> open_clock(Node& node, std::uint32_t flags) {
  if (the_clock == nullptr) {
    return fail(ENXIO);
  }
  if (the_clock->is_open()) {
    return fail(EBUSY);
  }
  auto* const file = new ClockFile(node, flags, *the_clock);
  if (file == nullptr) {
    return fail(ENOMEM);
  }
  the_clock->open(*file);
  return Reference<File>(file);
}

void take_clock_events() {
  if (the_clock != nullptr) {
    the_clock->look();
  }
}

}  // namespace linux_server
