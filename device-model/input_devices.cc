#include "device-model/input_devices.h"

#include <linux/input-event-codes.h>

#include <algorithm>
#include <cstdint>

namespace ensemble::device {
namespace {

constexpr std::uint16_t kBusHost = 0x19;  // BUS_HOST: soldered on.
constexpr std::uint16_t kVendor = 1;
constexpr std::uint16_t kVersion = 0x100;
// What `product` of struct input_id says.
enum Product : std::uint16_t { kButtons = 1, kTouch, kCrown, kKeyboardDock };

// As much of a text in UTF-8 as the device can tell, without half a character.
std::string fitting(const std::string& text) {
  std::size_t size = std::min(text.size(), InputDescription::kLongestText);
  while (size < text.size() && size > 0 &&
         (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) {
    --size;
  }
  return text.substr(0, size);
}

InputDescription describe(const Profile& product, const std::string& what, Product number,
                          const std::string& serial) {
  InputDescription input;
  input.name = fitting(product.model + " " + what);
  input.serial = fitting(serial);
  input.bus = kBusHost;
  input.vendor = kVendor;
  input.product = number;
  input.version = kVersion;
  return input;
}

// Units (pixels) per millimetre, rounded.
std::int32_t per_millimetre(std::uint32_t per_inch) {
  return static_cast<std::int32_t>((per_inch * 10 + 127) / 254);
}

// Multi-touch protocol B, and what a mouse would tell of the first finger.
void describe_touch(const Screen& screen, const Touch& touch, InputDescription& input) {
  constexpr std::int32_t kMostTrackingIds = 0xFFFF;
  const auto width = static_cast<std::int32_t>(screen.width);
  const auto height = static_cast<std::int32_t>(screen.height);
  const std::int32_t resolution = per_millimetre(screen.density);
  input.properties = {INPUT_PROP_DIRECT};
  input.keys = {{.code = BTN_TOUCH, .name = {}}};
  for (const std::uint16_t code : {std::uint16_t{ABS_X}, std::uint16_t{ABS_MT_POSITION_X}}) {
    input.absolute_axes.push_back({.code = code, .maximum = width - 1, .resolution = resolution});
  }
  for (const std::uint16_t code : {std::uint16_t{ABS_Y}, std::uint16_t{ABS_MT_POSITION_Y}}) {
    input.absolute_axes.push_back({.code = code, .maximum = height - 1, .resolution = resolution});
  }
  input.absolute_axes.push_back(
      {.code = ABS_MT_SLOT, .maximum = static_cast<std::int32_t>(touch.contacts) - 1});
  input.absolute_axes.push_back({.code = ABS_MT_TRACKING_ID, .maximum = kMostTrackingIds});
}

}  // namespace

std::vector<InputDescription> input_devices(const Profile& product, const std::string& serial) {
  std::vector<InputDescription> inputs;
  if (!product.buttons.empty()) {
    InputDescription& input = inputs.emplace_back(describe(product, "buttons", kButtons, serial));
    for (const Button& button : product.buttons) {
      input.keys.push_back({.code = button.key_code, .name = std::string(button.name)});
    }
  }
  if (product.touch && product.screen) {
    InputDescription& input =
        inputs.emplace_back(describe(product, "touch screen", kTouch, serial));
    describe_touch(*product.screen, *product.touch, input);
  }
  if (product.crown) {
    InputDescription& input = inputs.emplace_back(describe(product, "crown", kCrown, serial));
    input.relative_axes = {REL_WHEEL, REL_WHEEL_HI_RES};
  }
  if (product.keyboard_dock) {
    InputDescription& input =
        inputs.emplace_back(describe(product, "keyboard dock", kKeyboardDock, serial));
    input.switches = {{.code = SW_LID, .name = "lid"}, {.code = SW_DOCK, .name = "dock"}};
  }
  return inputs;
}

}  // namespace ensemble::device
