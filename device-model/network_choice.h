#pragma once

#include <string>
#include <string_view>

#include "vmm/error.h"

namespace ensemble::device {

// What a device's network is to be, as profiles and the command line say it.
struct NetworkChoice {
  enum class Kind {
    kNone,
    kUser,  // A private network that user-mode sockets connect to the host's.
    kTap,   // A tap interface of the host.
  };

  Kind kind = Kind::kNone;
  std::string interface;  // Of a tap: 1 to 15 bytes that an interface's name may have.

  bool operator==(const NetworkChoice&) const = default;
};

// Reads "none", "user" or "tap:NAME".
Result<NetworkChoice> parse_network(std::string_view text);

std::string to_string(const NetworkChoice& choice);

}  // namespace ensemble::device
