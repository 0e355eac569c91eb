#pragma once

#include <cstdint>
#include <string>

#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "vmm/error.h"

namespace ensemble::control {

// Frequency of this host's time-stamp counter in Hz, which is also that of a guest of QEMU,
// measured since `begin()`. Over a tenth of a second it is right to about 1 in 10^6.
class ClockMeasurement {
 public:
  static ClockMeasurement begin();
  // Waits until `begin` is 50 ms ago, if it is not.
  std::uint64_t frequency() const;

 private:
  std::uint64_t ticks_ = 0;
  std::uint64_t nanoseconds_ = 0;
};

// Writes what a loader that passes one module only gives to the kernel: boot package, manifest and
// root file system, each padded to a page (docs/machine.md). The manifest gets the clock frequency.
// An existing file is replaced. The Error names the file, or says that the device has too little
// memory for it.
Result<void> write_initial_ramdisk(const ensemble::vmm::v1::Configuration& configuration,
                                   std::uint64_t clock_frequency, const std::string& path);

}  // namespace ensemble::control
