#pragma once

#include <cstdint>
#include <string>

namespace ensemble::vmm {

// Why a machine stopped for good.
struct StopReason {
  enum class Kind {
    kPowerOff,            // The guest powered itself off, with `exit_code`.
    kResetRequested,      // The guest asked for a reset: make the machine anew.
    kTripleFault,         // The guest could not deliver an exception.
    kInternalError,       // KVM or the VMM cannot go on; `detail` says why.
    kStoppedFromOutside,  // Somebody asked the VMM to stop the machine.
  };

  Kind kind = Kind::kStoppedFromOutside;
  uint8_t exit_code = 0;    // For kPowerOff.
  std::string detail = {};  // A sentence for a person; empty where `kind` says all.

  // "the guest powered off with code 3", "the guest's vCPU 0 triple-faulted at …".
  std::string to_string() const;
};

}  // namespace ensemble::vmm
