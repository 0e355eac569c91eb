#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ensemble::vmm {

// Why a vCPU came back from the guest to the VMM.
enum class ExitReason : uint8_t {
  kPortRead,
  kPortWrite,
  kMmioRead,
  kMmioWrite,
  kInterrupted,  // A signal: a kick, or one of the host's.
  kShutdown,     // Triple fault.
  kSystemEvent,  // A reset or crash that KVM reports.
  kInternalError,
  kOther,
};
inline constexpr size_t kExitReasonCount = static_cast<size_t>(ExitReason::kOther) + 1;

// "port_read", "mmio_write"…: the keys of the report.
std::string_view exit_reason_name(ExitReason reason);

// Counters of one vCPU, by ExitReason. Written by its thread, read by any.
class ExitCounts {
 public:
  using Snapshot = std::array<uint64_t, kExitReasonCount>;

  void count(ExitReason reason) {
    counts_[static_cast<size_t>(reason)].fetch_add(1, std::memory_order_relaxed);
  }
  // Port accesses that were ignored because ring 3 made them (docs/machine.md).
  void count_denied_port_access() { denied_.fetch_add(1, std::memory_order_relaxed); }

  Snapshot snapshot() const {
    Snapshot values;
    for (size_t i = 0; i < kExitReasonCount; ++i) {
      values[i] = counts_[i].load(std::memory_order_relaxed);
    }
    return values;
  }
  uint64_t denied_port_accesses() const { return denied_.load(std::memory_order_relaxed); }

 private:
  std::array<std::atomic<uint64_t>, kExitReasonCount> counts_ = {};
  std::atomic<uint64_t> denied_ = 0;
};

}  // namespace ensemble::vmm
