#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "vmm/device_lock.h"
#include "vmm/error.h"

namespace ensemble::vmm {

// Registers on a bus. All calls come with the DeviceLock held, so an implementation needs no lock;
// they come from vCPU threads, so it must not block.
class BusDevice {
 public:
  virtual ~BusDevice() = default;

  // What the device is called in errors and logs: "virtio-block0".
  virtual std::string_view name() const = 0;

  // A load of `data.size()` bytes (1, 2, 4 or 8) at `offset` from the start of the device's range;
  // offset + size lies within the range. Fills all of `data`, which arrives as all ones.
  virtual void read(uint64_t offset, std::span<std::byte> data) = 0;

  // A store, with the same promises.
  virtual void write(uint64_t offset, std::span<const std::byte> data) = 0;
};

// An address space of device registers: memory-mapped ones, or x86 I/O ports.
//
// Ranges are inserted before the machine runs. `read` and `write` are for vCPU threads: they take
// the device lock. An access that no device's range holds whole reads as all ones, writes nothing,
// and is counted.
class Bus {
 public:
  // `lock` outlives the bus.
  Bus(std::string name, DeviceLock& lock) : name_(std::move(name)), lock_(lock) {}

  // Gives [base, base + size) to `device`, which is not owned and outlives the bus's last access.
  // An empty, overflowing or overlapping range is an Error that names both devices.
  Result<void> insert(uint64_t base, uint64_t size, BusDevice& device);

  void read(uint64_t address, std::span<std::byte> data);
  void write(uint64_t address, std::span<const std::byte> data);

  // Accesses that no device answered.
  uint64_t unclaimed_accesses() const;

 private:
  struct Range {
    uint64_t size;
    BusDevice* device;
  };
  struct Target {
    BusDevice* device;
    uint64_t offset;
  };
  Target find(uint64_t address, uint64_t size) const;

  const std::string name_;
  DeviceLock& lock_;
  std::map<uint64_t, Range> ranges_;  // By base. Fixed once the machine runs.
  uint64_t unclaimed_accesses_ = 0;   // Guarded by lock_.
};

}  // namespace ensemble::vmm
