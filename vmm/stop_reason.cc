#include "vmm/stop_reason.h"

#include <fmt/format.h>

namespace ensemble::vmm {

std::string StopReason::to_string() const {
  const std::string suffix = detail.empty() ? "" : ": " + detail;
  switch (kind) {
    case Kind::kPowerOff:
      return fmt::format("the guest powered off with code {}", exit_code) + suffix;
    case Kind::kResetRequested:
      return "the guest asked for a reset" + suffix;
    case Kind::kTripleFault:
      return "the guest met a fault that it could not handle" + suffix;
    case Kind::kInternalError:
      return "the machine cannot go on" + suffix;
    case Kind::kStoppedFromOutside:
      return "the machine was stopped from outside" + suffix;
  }
  return "the machine stopped";
}

}  // namespace ensemble::vmm
