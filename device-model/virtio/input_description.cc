#include "device-model/virtio/input_description.h"

#include <linux/input-event-codes.h>

#include <algorithm>
#include <cstddef>
#include <set>
#include <string_view>

namespace ensemble::device {
namespace {

constexpr std::int32_t kMostSlots = 64;

Result<void> check_text(std::string_view field, const std::string& text) {
  if (text.size() > InputDescription::kLongestText) {
    return fail("{} has {} bytes, but at most {} can be told", field, text.size(),
                InputDescription::kLongestText);
  }
  return {};
}

std::uint16_t code_of(std::uint16_t code) {
  return code;
}
template <typename T>
std::uint16_t code_of(const T& item) {
  return item.code;
}

template <typename T>
Result<void> check_codes(std::string_view field, const std::vector<T>& items,
                         std::uint16_t highest) {
  std::set<std::uint16_t> seen;
  for (const T& item : items) {
    if (code_of(item) > highest) {
      return fail("{} {} is out of range; the highest is {}", field, code_of(item), highest);
    }
    if (!seen.insert(code_of(item)).second) {
      return fail("{} {} is given twice", field, code_of(item));
    }
  }
  return {};
}

Result<void> check_axis(const InputAxis& axis) {
  if (axis.minimum > axis.maximum) {
    return fail("axis {} goes from {} to {}", axis.code, axis.minimum, axis.maximum);
  }
  if (axis.code == ABS_MT_SLOT && (axis.minimum != 0 || axis.maximum >= kMostSlots)) {
    return fail("slots go from {} to {}, but must go from 0 to at most {}", axis.minimum,
                axis.maximum, kMostSlots - 1);
  }
  return {};
}

bool has(const std::vector<InputControl>& controls, std::uint16_t code) {
  return std::ranges::find(controls, code, &InputControl::code) != controls.end();
}

}  // namespace

const InputAxis* InputDescription::axis(std::uint16_t code) const {
  const auto found = std::ranges::find(absolute_axes, code, &InputAxis::code);
  return found == absolute_axes.end() ? nullptr : &*found;
}

Result<void> InputDescription::check() const {
  const Result<void> lists[] = {check_text("the name", name),
                                check_text("the serial number", serial),
                                check_codes("property", properties, INPUT_PROP_MAX),
                                check_codes("key", keys, KEY_MAX),
                                check_codes("switch", switches, SW_MAX),
                                check_codes("relative axis", relative_axes, REL_MAX),
                                check_codes("axis", absolute_axes, ABS_MAX)};
  for (const Result<void>& list : lists) {
    if (!list) {
      return list;
    }
  }
  for (const InputAxis& each : absolute_axes) {
    if (auto checked = check_axis(each); !checked) {
      return checked;
    }
    if (each.code > ABS_MT_SLOT && axis(ABS_MT_SLOT) == nullptr) {
      return fail("axis {} is of several contacts, but there are no slots for them", each.code);
    }
  }
  return {};
}

Result<void> InputDescription::check(const InputEvent& event) const {
  switch (event.type) {
    case EV_KEY:
    case EV_SW:
      if (!has(event.type == EV_KEY ? keys : switches, event.code)) {
        break;
      }
      if (event.value != 0 && event.value != 1) {
        return fail("value {} of key or switch {} is out of range; it is 0 or 1", event.value,
                    event.code);
      }
      return {};
    case EV_REL:
      if (std::ranges::find(relative_axes, event.code) == relative_axes.end()) {
        break;
      }
      return {};
    case EV_ABS: {
      const InputAxis* const found = axis(event.code);
      if (found == nullptr) {
        break;
      }
      const bool lifts = event.code == ABS_MT_TRACKING_ID && event.value == -1;
      if (!lifts && (event.value < found->minimum || event.value > found->maximum)) {
        return fail("value {} of axis {} is out of range; it is {} to {}", event.value, event.code,
                    found->minimum, found->maximum);
      }
      return {};
    }
    default:
      break;
  }
  return fail("'{}' has no event of type {} and code {}", name, event.type, event.code);
}

}  // namespace ensemble::device
