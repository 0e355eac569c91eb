#pragma once

#include <cstdint>

#include "guest-kernel/nucleus/domain.h"

namespace nucleus {

// A range of physical memory that its holders may map. It says nothing of what is mapped: whoever
// gives memory to others unmaps it (or ends their domains) before it uses it for something else.
struct Region : Object {
  std::uint64_t base = 0;
  std::uint64_t size = 0;
  bool device = false;  // registers: mapped uncached
};

// I/O ports are the same, with port numbers: an object of type kIoPorts. `first` … `first + count`.
Region* create_io_ports(Domain* payer, std::uint64_t first, std::uint64_t count);

// nullptr: `payer` (may be null: nobody) has no quota left.
Region* create_region(Domain* payer, std::uint64_t base, std::uint64_t size, bool device);

}  // namespace nucleus
