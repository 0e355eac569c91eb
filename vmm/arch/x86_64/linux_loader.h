#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "kernel_file.h"
#include "linux_image.h"
#include "vmm/boot_source.h"
#include "vmm/error.h"
#include "vmm/guest_memory.h"

namespace ensemble::vmm::arch {

// Where vCPU 0 starts, in long mode.
struct LinuxEntry {
  uint64_t entry = 0;        // Guest-physical address of the first instruction.
  uint64_t boot_params = 0;  // Of struct boot_params; the kernel finds it in rsi.
  uint64_t page_tables = 0;  // The first 4 GiB, each address at itself.
  uint64_t descriptors = 0;  // The global descriptor table.
};

// Puts a bzImage, its initial RAM disk (the one module), its command line and struct boot_params
// with the memory map into fresh memory, laid out as docs/machine.md says. Errors name the file,
// and what was expected of it. After an Error the memory must be discarded.
Result<LinuxEntry> load_linux(GuestMemory& memory, const BootSource& source,
                              const KernelFile& kernel);

// Puts the kernel in `file` into memory.
Result<LinuxImage> place_linux_kernel(GuestMemory& memory, std::span<const std::byte> file);

// Sets the registers of a vCPU that has not run as the 64-bit boot protocol wants them: long mode,
// flat segments, interrupts off.
Result<void> enter_linux(int vcpu_fd, const LinuxEntry& entry);

}  // namespace ensemble::vmm::arch
