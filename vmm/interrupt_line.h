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

// A level-triggered, active-high interrupt from a device to the machine's interrupt controller.
// Starts low.
class LevelInterruptLine {
 public:
  virtual ~LevelInterruptLine() = default;

  // Any thread, one at a time; never blocks.
  virtual void set_level(bool high) = 0;
};

// Keeps the level where tests of devices see it.
class ObservedInterruptLine final : public LevelInterruptLine {
 public:
  explicit ObservedInterruptLine(bool& high) : high_(high) {}
  void set_level(bool high) override { high_ = high; }

 private:
  bool& high_;
};

}  // namespace ensemble::vmm
