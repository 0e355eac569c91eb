#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "vmm/device_lock.h"
#include "vmm/error.h"

namespace ensemble::control {

// Host addresses [begin, end).
struct AddressRange {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
};

// Resident memory in KiB.
struct ResidentMemory {
  std::uint64_t total_kib = 0;
  // What no file backs: unlike the rest it does not depend on what the host has in its page cache.
  std::uint64_t anonymous_kib = 0;
  // The part of anonymous_kib in large pages, which a host may give whole for one touched page.
  std::uint64_t large_pages_kib = 0;

  bool operator==(const ResidentMemory&) const = default;
};

// This process's memory without the mappings that begin within `excluded`.
Result<ResidentMemory> resident_memory_outside(std::span<const AddressRange> excluded);

// The same from the text of /proc/PID/smaps.
ResidentMemory sum_resident_memory(const std::string& smaps,
                                   std::span<const AddressRange> excluded);

// The memory of a device's process, in KiB.
struct MemoryFigures {
  ResidentMemory process;  // Without the guest's.
  std::uint64_t guest_touched_kib = 0;

  bool operator==(const MemoryFigures&) const = default;
};

// Reads the figures, which takes milliseconds where there is much memory: not often while the
// machine runs, and without the device lock, so that its virtual processors go on. For one thread.
class MemoryMeter {
 public:
  using Read = std::function<Result<MemoryFigures>()>;
  static constexpr std::chrono::milliseconds kUsualAge{1000};

  // `lock` outlives this. Figures of at most `age` are given again while the machine runs.
  MemoryMeter(vmm::DeviceLock& lock, Read read, std::chrono::milliseconds age = kUsualAge)
      : lock_(lock), read_(std::move(read)), age_(age) {}

  // Called with the device lock held. While the machine runs, others may have it meanwhile.
  // Otherwise the figures are of now.
  Result<MemoryFigures> figures(bool machine_runs);

 private:
  vmm::DeviceLock& lock_;
  Read read_;
  std::chrono::milliseconds age_;
  std::optional<MemoryFigures> known_;
  std::chrono::steady_clock::time_point known_at_;
};

}  // namespace ensemble::control
