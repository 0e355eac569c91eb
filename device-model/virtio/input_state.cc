#include "device-model/virtio/input_state.h"

#include <linux/input-event-codes.h>

#include <algorithm>
#include <ranges>

namespace ensemble::device {
namespace {

constexpr std::int32_t kNoSlot = -1;
constexpr std::int32_t kNoContact = -1;

bool is_of_contacts(std::uint16_t axis) {
  return axis > ABS_MT_SLOT;
}

void put(std::set<std::uint16_t>& codes, const InputEvent& event) {
  if (event.value != 0) {
    codes.insert(event.code);
  } else {
    codes.erase(event.code);
  }
}

void save_codes(vmm::StateWriter& writer, const std::set<std::uint16_t>& codes) {
  writer.u16(static_cast<std::uint16_t>(codes.size()));
  for (const std::uint16_t code : codes) {
    writer.u16(code);
  }
}

}  // namespace

void InputState::apply(const InputEvent& event) {
  if (event.type == EV_KEY) {
    put(keys_, event);
  } else if (event.type == EV_SW) {
    put(switches_, event);
  } else if (event.type == EV_ABS && event.code == ABS_MT_SLOT) {
    slot_ = event.value;
  } else if (event.type == EV_ABS) {
    axes_[{is_of_contacts(event.code) ? slot_ : kNoSlot, event.code}] = event.value;
  }
}

bool InputState::touched(std::int32_t slot) const {
  const auto found = axes_.find({slot, ABS_MT_TRACKING_ID});
  return found != axes_.end() && found->second != kNoContact;
}

bool InputState::at_rest() const {
  return keys_.empty() && switches_.empty() && std::ranges::all_of(axes_, [this](const auto& axis) {
           const auto& [slot, code] = axis.first;
           return slot == kNoSlot ? axis.second == 0 : !touched(slot);
         });
}

std::vector<InputEvent> InputState::events() const {
  std::vector<InputEvent> events;
  for (const InputControl& key : description_.keys) {
    events.push_back({EV_KEY, key.code, keys_.contains(key.code) ? 1 : 0});
  }
  for (const InputControl& each : description_.switches) {
    events.push_back({EV_SW, each.code, switches_.contains(each.code) ? 1 : 0});
  }
  for (const auto& [axis, value] : axes_) {
    if (axis.first == kNoSlot) {
      events.push_back({EV_ABS, axis.second, value});
    }
  }
  append_contacts(events);
  return events;
}

std::size_t InputState::most_events() const {
  const InputAxis* const slots = description_.axis(ABS_MT_SLOT);
  const std::size_t axes = description_.absolute_axes.size();
  const std::size_t contacts = slots == nullptr ? 0 : static_cast<std::size_t>(slots->maximum) + 1;
  return description_.keys.size() + description_.switches.size() + axes * (contacts + 1) + 1;
}

void InputState::append_contacts(std::vector<InputEvent>& events) const {
  const InputAxis* const slots = description_.axis(ABS_MT_SLOT);
  if (slots == nullptr) {
    return;
  }
  for (std::int32_t slot = 0; slot <= slots->maximum; ++slot) {
    events.push_back({EV_ABS, ABS_MT_SLOT, slot});
    if (!touched(slot)) {
      events.push_back({EV_ABS, ABS_MT_TRACKING_ID, kNoContact});
      continue;
    }
    // The tracking ID comes first where a driver of several contacts expects it.
    events.push_back({EV_ABS, ABS_MT_TRACKING_ID, axes_.at({slot, ABS_MT_TRACKING_ID})});
    for (const auto& [axis, value] : axes_) {
      if (axis.first == slot && axis.second != ABS_MT_TRACKING_ID) {
        events.push_back({EV_ABS, axis.second, value});
      }
    }
  }
  events.push_back({EV_ABS, ABS_MT_SLOT, slot_});
}

void InputState::save(vmm::StateWriter& writer) const {
  save_codes(writer, keys_);
  save_codes(writer, switches_);
  writer.u16(static_cast<std::uint16_t>(axes_.size()));
  for (const auto& [axis, value] : axes_) {
    writer.u32(static_cast<std::uint32_t>(axis.first));
    writer.u16(axis.second);
    writer.u32(static_cast<std::uint32_t>(value));
  }
  writer.u32(static_cast<std::uint32_t>(slot_));
}

Result<void> InputState::restore(vmm::StateReader& reader) {
  InputState restored(description_);
  Result<void> valid;
  const auto take = [&](const InputEvent& event) {
    if (valid) {
      valid = description_.check(event);
      restored.apply(event);
    }
  };
  for (const auto type : {std::uint16_t{EV_KEY}, std::uint16_t{EV_SW}}) {
    for (std::uint16_t count = reader.u16(); count != 0 && reader.status(); --count) {
      take({type, reader.u16(), 1});
    }
  }
  for (std::uint16_t count = reader.u16(); count != 0 && reader.status(); --count) {
    const auto slot = static_cast<std::int32_t>(reader.u32());
    const std::uint16_t code = reader.u16();
    const auto value = static_cast<std::int32_t>(reader.u32());
    if (slot != kNoSlot) {
      take({EV_ABS, ABS_MT_SLOT, slot});
    }
    if (is_of_contacts(code) != (slot != kNoSlot)) {
      return fail("axis {} was saved with slot {}", code, slot);
    }
    take({EV_ABS, code, value});
  }
  const auto slot = static_cast<std::int32_t>(reader.u32());
  if (Result<void> status = reader.status(); !status) {
    return status;
  }
  if (slot != 0) {
    take({EV_ABS, ABS_MT_SLOT, slot});
  }
  if (!valid) {
    return valid;
  }
  keys_ = std::move(restored.keys_);
  switches_ = std::move(restored.switches_);
  axes_ = std::move(restored.axes_);
  slot_ = slot;
  return {};
}

}  // namespace ensemble::device
