#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "vmm/error.h"

namespace ensemble::vmm {

// Which guest store rings a doorbell.
struct DoorbellAddress {
  uint64_t guest_address = 0;          // Of an MMIO register.
  uint32_t length = 4;                 // Width of the store: 1, 2, 4 or 8 bytes.
  std::optional<uint64_t> value = {};  // Only a store of this value; absent: of any.
};

// A registered doorbell. Destroying it unregisters it; its handler is not called afterwards.
// Destroy it on the event loop or with the device lock held.
class Doorbell {
 public:
  virtual ~Doorbell() = default;
};

// Makes doorbells: guest stores that wake the event loop without stopping the vCPU. Stores that
// ring a doorbell do not reach the bus; several stores may be one call. A device that wants to work
// without doorbells (its bus write being called instead) may simply not ask for one.
class DoorbellRegistry {
 public:
  virtual ~DoorbellRegistry() = default;

  // `handler` runs on the event loop with the device lock held. An address that already has a
  // doorbell for the same value is an Error.
  virtual Result<std::unique_ptr<Doorbell>> add(const DoorbellAddress& address,
                                                std::function<void()> handler) = 0;
};

}  // namespace ensemble::vmm
