#include "vmm/exit_counts.h"

namespace ensemble::vmm {

std::string_view exit_reason_name(ExitReason reason) {
  switch (reason) {
    case ExitReason::kPortRead:
      return "port_read";
    case ExitReason::kPortWrite:
      return "port_write";
    case ExitReason::kMmioRead:
      return "mmio_read";
    case ExitReason::kMmioWrite:
      return "mmio_write";
    case ExitReason::kInterrupted:
      return "interrupted";
    case ExitReason::kShutdown:
      return "shutdown";
    case ExitReason::kSystemEvent:
      return "system_event";
    case ExitReason::kInternalError:
      return "internal_error";
    case ExitReason::kOther:
      return "other";
  }
  return "other";
}

}  // namespace ensemble::vmm
