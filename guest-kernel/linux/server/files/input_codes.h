#pragma once

#include <linux/input.h>

#include <cstddef>
#include <cstdint>

#include "guest-kernel/lib/input_protocol.h"

namespace linux_server {

// How many codes a type of event has; 0: it is none that devices have.
constexpr std::size_t input_code_count(std::uint64_t type) {
  switch (type) {
    case EV_SYN:
      return EV_CNT;
    case EV_KEY:
      return KEY_CNT;
    case EV_REL:
      return REL_CNT;
    case EV_ABS:
      return ABS_CNT;
    case EV_MSC:
      return MSC_CNT;
    case EV_SW:
      return SW_CNT;
    case EV_LED:
      return LED_CNT;
    case EV_SND:
      return SND_CNT;
    case EV_FF:
      return FF_CNT;
    default:
      return 0;
  }
}
static_assert(input_code_count(EV_ABS) <= guest::kInputAxes);
static_assert(input_code_count(EV_KEY) <= guest::kInputCodeBytes * 8);

// Takes away the codes that no device has: a driver may claim any.
inline void clear_unknown_codes(guest::InputDescription& description) {
  for (std::size_t type = 0; type < description.codes.size(); ++type) {
    auto& bits = description.codes[type];
    const std::size_t count = input_code_count(type);
    for (std::size_t byte = 0; byte < bits.size(); ++byte) {
      const std::size_t before = byte * 8;
      const std::size_t known = count <= before ? 0 : count - before;
      if (known < 8) {
        bits[byte] = static_cast<std::uint8_t>(bits[byte] & ((1u << known) - 1));
      }
    }
  }
}

}  // namespace linux_server
