#pragma once

#include <cstdint>

// Linux's signal numbers. Its own header for them does not go together with the C++ library's.
namespace linux_server {

enum Signal : std::uint32_t {
  kSignalHangUp = 1,
  kSignalInterrupt = 2,
  kSignalQuit = 3,
  kSignalIllegal = 4,
  kSignalTrap = 5,
  kSignalAbort = 6,
  kSignalBus = 7,
  kSignalFloatingPoint = 8,
  kSignalKill = 9,
  kSignalSegmentation = 11,
  kSignalPipe = 13,
  kSignalAlarm = 14,
  kSignalChild = 17,
  kSignalContinue = 18,
  kSignalStop = 19,
  kSignalTerminalStop = 20,
  kSignalTerminalInput = 21,
  kSignalTerminalOutput = 22,
  kSignalUrgent = 23,
  kSignalProcessorLimit = 24,
  kSignalFileSize = 25,
  kSignalVirtualAlarm = 26,
  kSignalProfile = 27,
  kSignalWindowChange = 28,
  kSignalInput = 29,  // SIGIO
};

}  // namespace linux_server
