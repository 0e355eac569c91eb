#pragma once

#include "vmm/error.h"

namespace ensemble::control {

struct TerminalSize {
  unsigned columns = 0;
  unsigned rows = 0;
};

// Its size in characters; zeros where it is not known.
TerminalSize terminal_size(int descriptor);

// Takes a terminal out of line mode for its life time, so that every key reaches the device as it
// is typed; what is printed is processed as before. The terminal is also put back when the process
// dies of a fatal signal (SIGSEGV, SIGABRT…). At most one object exists at a time.
class RawTerminal {
 public:
  // `descriptor` is a terminal and outlives the object. The terminal is unchanged until `enter`.
  explicit RawTerminal(int descriptor);
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal();

  // Makes the terminal raw. Also after a stop (SIGTSTP), when a shell may have changed it.
  Result<void> enter();

  // Puts the terminal back as `enter` found it. Does nothing when it was not raw.
  void leave();
};

}  // namespace ensemble::control
