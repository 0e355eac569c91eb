#include "control/escape_keys.h"

namespace ensemble::control {
namespace {
constexpr char kControlA = '\x01';
}

EscapeKeys::Outcome EscapeKeys::scan(std::string_view typed) {
  Outcome outcome;
  for (const char key : typed) {
    ++outcome.consumed;
    if (!pending_) {
      if (key == kControlA) {
        pending_ = true;
      } else {
        outcome.to_guest.push_back(key);
      }
      continue;
    }
    pending_ = false;
    switch (key) {
      case 'x':
      case 'X':
        outcome.command = Command::kStop;
        return outcome;
      case 'h':
      case '?':
        outcome.command = Command::kHelp;
        return outcome;
      case 'a':
      case kControlA:
        outcome.to_guest.push_back(kControlA);
        break;
      default:
        outcome.to_guest.push_back(kControlA);
        outcome.to_guest.push_back(key);
    }
  }
  return outcome;
}

std::string_view escape_help() {
  return "\r\nCtrl-A x  stop the device\r\n"
         "Ctrl-A a  send Ctrl-A to the device\r\n"
         "Ctrl-A h  this help\r\n";
}

}  // namespace ensemble::control
