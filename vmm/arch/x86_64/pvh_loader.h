#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel_file.h"
#include "vmm/boot_source.h"
#include "vmm/error.h"
#include "vmm/guest_memory.h"

namespace ensemble::vmm::arch {

// Where vCPU 0 starts.
struct PvhEntry {
  uint32_t entry = 0;       // Guest-physical address of the first instruction.
  uint32_t start_info = 0;  // Of struct hvm_start_info; the kernel finds it in ebx.
  bool is_linux = false;
};

// Puts kernel, modules, memory map and start information into fresh memory, laid out as
// docs/machine.md says. Errors name the file, and what was expected of it. After an Error the
// memory must be discarded.
Result<PvhEntry> load_pvh(GuestMemory& memory, const BootSource& source, const KernelFile& kernel);

// Puts the segments of the kernel `file` into memory. Returns its entry and the end of the last
// segment.
struct PlacedKernel {
  uint32_t entry = 0;
  uint64_t end = 0;  // Guest-physical; below it, modules might overlap the kernel.
  bool is_linux = false;
};
Result<PlacedKernel> place_pvh_kernel(GuestMemory& memory, std::span<const std::byte> file);

// Sets the registers of a vCPU that has not run as the PVH ABI wants them at the entry: 32-bit
// protected mode, flat segments, no paging, interrupts off.
Result<void> enter_pvh(int vcpu_fd, const PvhEntry& entry);

}  // namespace ensemble::vmm::arch
