#include "device-model/virtio/input_controls.h"

#include <fmt/ranges.h>
#include <linux/input-event-codes.h>

#include <algorithm>
#include <string>
#include <vector>

namespace ensemble::device {
namespace {

constexpr std::int32_t kHighResolutionUnits = 120;  // Of REL_WHEEL_HI_RES, for a detent.
constexpr std::int32_t kMostDetents = 1000;

using Controls = std::vector<InputControl> InputDescription::*;

// Sets the key or switch of that name; `type` is that of its events.
Result<void> set_control(const std::vector<InputDevice*>& inputs, Controls controls,
                         std::uint16_t type, std::string_view name, bool on) {
  std::vector<std::string_view> known;
  for (InputDevice* const input : inputs) {
    for (const InputControl& control : input->description().*controls) {
      if (!control.name.empty() && control.name == name) {
        const InputEvent event{type, control.code, on ? 1 : 0};
        return input->report({&event, 1});
      }
      if (!control.name.empty()) {
        known.push_back(control.name);
      }
    }
  }
  const std::string_view what = type == EV_KEY ? "key" : "switch";
  if (known.empty()) {
    return fail("the device has no {} '{}'; it has none at all", what, name);
  }
  return fail("the device has no {} '{}'; it has {}", what, name, fmt::join(known, ", "));
}

Result<void> check_place(const InputDescription& screen, std::uint16_t axis, std::string_view field,
                         std::uint32_t value) {
  const auto maximum = static_cast<std::uint32_t>(screen.axis(axis)->maximum);
  if (value > maximum) {
    return fail("{} {} is out of range; it is 0 to {}", field, value, maximum);
  }
  return {};
}

}  // namespace

Result<void> InputControls::press(std::string_view key, bool down) {
  return set_control(inputs_, &InputDescription::keys, EV_KEY, key, down);
}

Result<void> InputControls::set_switch(std::string_view name, bool on) {
  return set_control(inputs_, &InputDescription::switches, EV_SW, name, on);
}

Result<InputDevice*> InputControls::touch_screen(std::uint32_t contact) const {
  for (InputDevice* const input : inputs_) {
    const InputDescription& description = input->description();
    const InputAxis* const slots = description.axis(ABS_MT_SLOT);
    if (slots == nullptr || description.axis(ABS_MT_POSITION_X) == nullptr ||
        description.axis(ABS_MT_POSITION_Y) == nullptr) {
      continue;
    }
    if (contact > static_cast<std::uint32_t>(slots->maximum)) {
      return fail("contact {} is out of range; it is 0 to {}", contact, slots->maximum);
    }
    return input;
  }
  return fail("the device has no touch screen");
}

Result<void> InputControls::touch(std::uint32_t contact, std::uint32_t x, std::uint32_t y) {
  const auto screen = touch_screen(contact);
  if (!screen) {
    return std::unexpected(screen.error());
  }
  InputDevice& input = **screen;
  for (const auto& checked : {check_place(input.description(), ABS_MT_POSITION_X, "x", x),
                              check_place(input.description(), ABS_MT_POSITION_Y, "y", y)}) {
    if (!checked) {
      return checked;
    }
  }
  const auto slot = static_cast<std::int32_t>(contact);
  const auto left = static_cast<std::int32_t>(x);
  const auto top = static_cast<std::int32_t>(y);
  std::vector<InputEvent> events{{EV_ABS, ABS_MT_SLOT, slot}};
  if (!input.state().touched(slot)) {
    events.push_back({EV_ABS, ABS_MT_TRACKING_ID, next_tracking_id_});
    next_tracking_id_ = (next_tracking_id_ + 1) & 0xFFFF;
  }
  events.push_back({EV_ABS, ABS_MT_POSITION_X, left});
  events.push_back({EV_ABS, ABS_MT_POSITION_Y, top});
  // The pointer is the first finger.
  if (contact == 0) {
    events.push_back({EV_ABS, ABS_X, left});
    events.push_back({EV_ABS, ABS_Y, top});
  }
  if (!input.state().pressed(BTN_TOUCH)) {
    events.push_back({EV_KEY, BTN_TOUCH, 1});
  }
  return input.report(events);
}

Result<void> InputControls::lift(std::uint32_t contact) {
  const auto screen = touch_screen(contact);
  if (!screen) {
    return std::unexpected(screen.error());
  }
  InputDevice& input = **screen;
  const auto slot = static_cast<std::int32_t>(contact);
  if (!input.state().touched(slot)) {
    return fail("contact {} does not touch the screen", contact);
  }
  std::vector<InputEvent> events{{EV_ABS, ABS_MT_SLOT, slot}, {EV_ABS, ABS_MT_TRACKING_ID, -1}};
  const std::int32_t last = input.description().axis(ABS_MT_SLOT)->maximum;
  bool others = false;
  for (std::int32_t other = 0; other <= last; ++other) {
    others = others || (other != slot && input.state().touched(other));
  }
  if (!others) {
    events.push_back({EV_KEY, BTN_TOUCH, 0});
  }
  return input.report(events);
}

Result<void> InputControls::rotate(std::int32_t detents) {
  if (detents < -kMostDetents || detents > kMostDetents) {
    return fail("{} detents are out of range; a turn has {} to {}", detents, -kMostDetents,
                kMostDetents);
  }
  for (InputDevice* const input : inputs_) {
    const auto& axes = input->description().relative_axes;
    if (std::ranges::find(axes, REL_WHEEL_HI_RES) != axes.end()) {
      const InputEvent events[] = {{EV_REL, REL_WHEEL, detents},
                                   {EV_REL, REL_WHEEL_HI_RES, detents * kHighResolutionUnits}};
      return detents == 0 ? Result<void>{} : input->report(events);
    }
  }
  return fail("the device has no crown");
}

}  // namespace ensemble::device
