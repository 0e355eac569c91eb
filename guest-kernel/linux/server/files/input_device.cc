#include "guest-kernel/linux/server/files/input_device.h"

#include <linux/input.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/linux/server/files/input_codes.h"
#include "guest-kernel/linux/server/files/input_file.h"

namespace linux_server {
namespace {

constexpr std::int32_t kMostSlots = 64;
constexpr std::size_t kContactAxes =
    InputDevice::kLastContactAxis - InputDevice::kFirstContactAxis + 1;
constexpr std::int32_t kNoContact = -1;

template <typename Bits>
bool test_bit(const Bits& bits, std::uint32_t code) {
  return code / 8 < bits.size() && (bits[code / 8] >> code % 8 & 1) != 0;
}

// False: it was so already.
bool set_bit(InputDevice::CodeBits& bits, std::uint16_t code, bool on) {
  if (test_bit(bits, code) == on) {
    return false;
  }
  bits[code / 8u] = static_cast<std::uint8_t>(bits[code / 8u] ^ 1u << code % 8);
  return true;
}

bool is_of_contacts(std::uint16_t axis) {
  return axis >= InputDevice::kFirstContactAxis && axis <= InputDevice::kLastContactAxis;
}

}  // namespace

InputDevice::InputDevice(const guest::Resource& input, std::size_t number)
    : shared_(reinterpret_cast<guest::InputShared*>(input.address)),
      driver_(input.slot),
      events_(shared_->events,
              {reinterpret_cast<std::byte*>(input.address) + guest::kInputEventsOffset,
               guest::kInputEventsSize}),
      number_(number) {
  description_ = shared_->description;
  description_.name.back() = '\0';
  description_.serial.back() = '\0';
  clear_unknown_codes(description_);
  // A code of type 0 is a type that there is.
  auto& types = description_.codes[EV_SYN];
  types = {};
  for (std::size_t type = 1; type < guest::kInputTypes; ++type) {
    set_bit(types, static_cast<std::uint16_t>(type),
            std::ranges::any_of(description_.codes[type], [](auto bits) { return bits != 0; }));
  }
  set_bit(types, EV_SYN, true);
  const std::int32_t last_slot = description_.axes[ABS_MT_SLOT].maximum;
  if (has(EV_ABS, ABS_MT_SLOT) && last_slot >= 0 && last_slot < kMostSlots) {
    slot_count_ = static_cast<std::size_t>(last_slot) + 1;
    slots_ = new std::int32_t[slot_count_ * kContactAxes]();
    lift_contacts();
  }
}

void InputDevice::lift_contacts() {
  for (std::size_t slot = 0; slots_ != nullptr && slot < slot_count_; ++slot) {
    slots_[slot * kContactAxes + ABS_MT_TRACKING_ID - kFirstContactAxis] = kNoContact;
  }
}

InputDevice::~InputDevice() {
  delete[] slots_;
}

bool InputDevice::has_type(std::uint32_t type) const {
  return test_bit(description_.codes[EV_SYN], type);
}

bool InputDevice::has(std::uint32_t type, std::uint32_t code) const {
  return type < description_.codes.size() && test_bit(description_.codes[type], code);
}

std::int32_t InputDevice::slot_value(std::size_t slot, std::uint16_t axis) const {
  return slot < slot_count_ && is_of_contacts(axis)
             ? slots_[slot * kContactAxes + axis - kFirstContactAxis]
             : 0;
}

void InputDevice::take_events() {
  do {
    while (events_.available() >= sizeof(guest::InputRecord)) {
      guest::InputRecord record;
      events_.read(std::as_writable_bytes(std::span(&record, 1)));
      const std::uint64_t tsc = std::min(record.tsc, guest::read_tsc());
      handle(guest::monotonic_ns(guest::time_page(), tsc), record.type, record.code, record.value);
    }
    if (events_.producer_waits()) {
      guest::signal(driver_);
    }
  } while (!events_.wait_for_bytes(sizeof(guest::InputRecord) - 1));
}

void InputDevice::handle(std::uint64_t now, std::uint16_t type, std::uint16_t code,
                         std::int32_t value) {
  now_ = now;
  if (type == EV_SYN && code == SYN_DROPPED) {
    // What still holds comes anew, or is not known any more.
    keys_ = {};
    switches_ = {};
    lift_contacts();
    tell(type, code, 0);
  } else if (type == EV_SYN && code == SYN_REPORT) {
    if (within_report_) {
      tell(type, code, 0);
      within_report_ = false;
    }
  } else if (has(type, code) && changes(type, code, value)) {
    tell(type, code, value);
  }
}

// Makes the change. False: there is none to be told.
bool InputDevice::changes(std::uint16_t type, std::uint16_t code, std::int32_t value) {
  constexpr std::int32_t kRepeat = 2;
  switch (type) {
    case EV_KEY:
      return value == kRepeat ? test_bit(keys_, code) : set_bit(keys_, code, value != 0);
    case EV_SW:
      return set_bit(switches_, code, value != 0);
    case EV_ABS:
      return changes_axis(code, value);
    case EV_REL:
      return value != 0;
    case EV_MSC:
      return true;
    default:
      return false;
  }
}

// Which contact an event is about is told when something of it changes.
bool InputDevice::changes_axis(std::uint16_t code, std::int32_t value) {
  if (code == ABS_MT_SLOT) {
    if (value >= 0 && static_cast<std::size_t>(value) < slot_count_) {
      slot_ = static_cast<std::size_t>(value);
    }
    return false;
  }
  const bool has_slots = is_of_contacts(code) && slot_count_ != 0;
  std::int32_t& old =
      has_slots ? slots_[slot_ * kContactAxes + code - kFirstContactAxis] : axes_[code];
  if (old == value) {
    return false;
  }
  old = value;
  const auto slot = static_cast<std::int32_t>(slot_);
  if (has_slots && axes_[ABS_MT_SLOT] != slot) {
    axes_[ABS_MT_SLOT] = slot;
    tell(EV_ABS, ABS_MT_SLOT, slot);
  }
  return true;
}

void InputDevice::tell(std::uint16_t type, std::uint16_t code, std::int32_t value) {
  within_report_ = true;
  for (InputFile* file = first_; file != nullptr; file = file->next_) {
    if (grabber == nullptr || grabber == file) {
      file->add(now_, type, code, value);
    }
  }
}

void InputDevice::add(InputFile& file) {
  file.next_ = first_;
  first_ = &file;
}

void InputDevice::remove(InputFile& file) {
  InputFile** place = &first_;
  while (*place != nullptr && *place != &file) {
    place = &(*place)->next_;
  }
  if (*place != nullptr) {
    *place = file.next_;
  }
  if (grabber == &file) {
    grabber = nullptr;
  }
}

}  // namespace linux_server
