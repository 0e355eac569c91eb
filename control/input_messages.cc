#include "control/input_messages.h"

#include <cstdint>
#include <limits>
#include <vector>

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;

// Collects whether all codes fit.
class Codes {
 public:
  std::uint16_t take(std::uint32_t code) {
    fit_ = fit_ && code <= std::numeric_limits<std::uint16_t>::max();
    return static_cast<std::uint16_t>(code);
  }
  bool fit() const { return fit_; }

 private:
  bool fit_ = true;
};

template <typename Message>
void add_controls(const std::vector<device::InputControl>& controls, Message& to) {
  for (const device::InputControl& control : controls) {
    proto::InputControl& added = *to.Add();
    added.set_code(control.code);
    added.set_name(control.name);
  }
}

template <typename Message>
std::vector<device::InputControl> controls_of(const Message& message, Codes& codes) {
  std::vector<device::InputControl> controls;
  for (const proto::InputControl& control : message) {
    controls.push_back({.code = codes.take(control.code()), .name = control.name()});
  }
  return controls;
}

}  // namespace

proto::VirtioInput to_message(const device::InputDescription& input) {
  proto::VirtioInput message;
  message.set_name(input.name);
  message.set_serial(input.serial);
  message.set_bus(input.bus);
  message.set_vendor(input.vendor);
  message.set_product(input.product);
  message.set_version(input.version);
  message.mutable_properties()->Add(input.properties.begin(), input.properties.end());
  add_controls(input.keys, *message.mutable_keys());
  add_controls(input.switches, *message.mutable_switches());
  message.mutable_relative_axes()->Add(input.relative_axes.begin(), input.relative_axes.end());
  for (const device::InputAxis& axis : input.absolute_axes) {
    proto::InputAxis& added = *message.add_absolute_axes();
    added.set_code(axis.code);
    added.set_minimum(axis.minimum);
    added.set_maximum(axis.maximum);
    added.set_fuzz(axis.fuzz);
    added.set_flat(axis.flat);
    added.set_resolution(axis.resolution);
  }
  return message;
}

Result<device::InputDescription> input_description(const proto::VirtioInput& message) {
  Codes codes;
  device::InputDescription input{.name = message.name(),
                                 .serial = message.serial(),
                                 .bus = codes.take(message.bus()),
                                 .vendor = codes.take(message.vendor()),
                                 .product = codes.take(message.product()),
                                 .version = codes.take(message.version()),
                                 .properties = {},
                                 .keys = controls_of(message.keys(), codes),
                                 .switches = controls_of(message.switches(), codes),
                                 .relative_axes = {},
                                 .absolute_axes = {}};
  for (const std::uint32_t property : message.properties()) {
    input.properties.push_back(codes.take(property));
  }
  for (const std::uint32_t code : message.relative_axes()) {
    input.relative_axes.push_back(codes.take(code));
  }
  for (const proto::InputAxis& axis : message.absolute_axes()) {
    input.absolute_axes.push_back({.code = codes.take(axis.code()),
                                   .minimum = axis.minimum(),
                                   .maximum = axis.maximum(),
                                   .fuzz = axis.fuzz(),
                                   .flat = axis.flat(),
                                   .resolution = axis.resolution()});
  }
  if (!codes.fit()) {
    return fail("a code or number of it is above {}", std::numeric_limits<std::uint16_t>::max());
  }
  return input;
}

Result<void> perform(const proto::SendInput& input, device::InputControls& controls) {
  switch (input.action_case()) {
    case proto::SendInput::kPressKey:
      return controls.press(input.press_key().key(), input.press_key().down());
    case proto::SendInput::kTouchScreen: {
      const proto::TouchScreen& touch = input.touch_screen();
      return touch.has_place()
                 ? controls.touch(touch.contact(), touch.place().x(), touch.place().y())
                 : controls.lift(touch.contact());
    }
    case proto::SendInput::kRotateCrown:
      return controls.rotate(input.rotate_crown().detents());
    case proto::SendInput::kSetSwitch:
      return controls.set_switch(input.set_switch().name(), input.set_switch().on());
    case proto::SendInput::ACTION_NOT_SET:
      break;
  }
  return fail("this version of ensemble-vmm knows no such input");
}

}  // namespace ensemble::control
