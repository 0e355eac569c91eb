#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "device-model/virtio/input_device.h"
#include "vmm/error.h"

namespace ensemble::device {

// What a hand can do to the input devices of one machine: presses, touches, turns and switches, as
// events of whichever device has the part. Used with the device lock held. Every Error names the
// part or value, and what would be right; nothing has happened then.
class InputControls {
 public:
  // `input` outlives this.
  void add(InputDevice& input) { inputs_.push_back(&input); }

  // Presses the key of that name, or lets it go.
  Result<void> press(std::string_view key, bool down);

  // Puts finger `contact` (0 to one less than the touch screen follows) on a place, in pixels from
  // the upper left corner, or moves it there.
  Result<void> touch(std::uint32_t contact, std::uint32_t x, std::uint32_t y);
  // Lifts it.
  Result<void> lift(std::uint32_t contact);

  // Turns the crown by detents; positive ones are away from the user.
  Result<void> rotate(std::int32_t detents);

  Result<void> set_switch(std::string_view name, bool on);

 private:
  Result<InputDevice*> touch_screen(std::uint32_t contact) const;

  std::vector<InputDevice*> inputs_;
  std::int32_t next_tracking_id_ = 0;
};

}  // namespace ensemble::device
