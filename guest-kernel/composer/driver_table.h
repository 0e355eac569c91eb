#pragma once

#include <cstdint>
#include <string_view>

#include "guest-kernel/lib/start_info.h"

namespace composer {

// Which program drives what.
struct DriverKind {
  std::string_view compatible;
  std::string_view device_role;  // as the manifest says what it is for; empty: nothing of its own
  std::string_view program;      // in the boot package
  std::string_view service;      // as the profile's domain groups name it
  guest::Role role;              // what the Linux server gets it as
  std::uint64_t dma_size;        // bytes that the driver alone shares with the device
  std::uint64_t shared_size;     // bytes that it shares with its client (and the device)
  // The same in large pages of their own: a multiple of 2 MiB.
  std::uint64_t large_size = 0;
  std::uint64_t client_signal = 0;  // what its client gets from it; 0: nothing
  bool on_demand = false;           // it is started when something is first asked of it
};

// nullptr: there is no driver for it.
const DriverKind* driver_for(std::string_view compatible, std::string_view role);

// "virtio,deviceN" for a virtio device ID, for a device that has to be asked.
std::string_view virtio_compatible(std::uint32_t device_id);

}  // namespace composer
