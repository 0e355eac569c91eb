#pragma once

#include <atomic>
#include <cstdint>

namespace ensemble::vmm {

// An edge-triggered interrupt from a device to the machine's interrupt controller.
class InterruptLine {
 public:
  virtual ~InterruptLine() = default;

  // Sends one edge. Any thread; never blocks.
  virtual void trigger() = 0;
};

// Counts edges, for tests of devices.
class CountingInterruptLine final : public InterruptLine {
 public:
  void trigger() override { ++count_; }
  uint64_t count() const { return count_; }

 private:
  std::atomic<uint64_t> count_ = 0;
};

}  // namespace ensemble::vmm
