#pragma once

#include <string>
#include <string_view>

namespace ensemble::control {

// Finds the keys of the terminal that are meant for Ensemble and not for the guest. Ctrl-A begins
// a command: `x` stops the device, `h` or `?` asks for help, `a` or a second Ctrl-A sends one
// Ctrl-A to the guest; Ctrl-A and any other key are passed on together.
class EscapeKeys {
 public:
  enum class Command { kNone, kStop, kHelp };

  struct Outcome {
    // Bytes for the guest, in order, up to the command.
    std::string to_guest;
    Command command = Command::kNone;
    // How many bytes of the input were used: all of them unless a command ended the scan.
    std::size_t consumed = 0;
  };

  // Scans `typed` up to its end or the first command. A Ctrl-A at the end is remembered for the
  // next call.
  Outcome scan(std::string_view typed);

 private:
  bool pending_ = false;
};

// What `Ctrl-A h` prints.
std::string_view escape_help();

}  // namespace ensemble::control
