#pragma once

#include <cstdint>
#include <string>

#include "control/client/client.h"
#include "vmm/error.h"

namespace ensemble::control {

// Fingers and times of `ensemble input`, as its options give them.
struct InputOptions {
  std::string device;  // Its name.
  std::string part;    // The key or switch.
  std::uint32_t x = 0;
  std::uint32_t y = 0;
  std::uint32_t end_x = 0;
  std::uint32_t end_y = 0;
  std::int32_t detents = 0;
  bool on = false;
  std::uint32_t milliseconds = 0;  // How long it takes.
};

// Each returns once the device has got all of it. The Error is the daemon's sentence.
Result<void> press_key(Client& client, const InputOptions& options);
Result<void> tap_screen(Client& client, const InputOptions& options);
Result<void> swipe_screen(Client& client, const InputOptions& options);
Result<void> rotate_crown(Client& client, const InputOptions& options);
Result<void> set_switch(Client& client, const InputOptions& options);

}  // namespace ensemble::control
