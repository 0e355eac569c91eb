#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "vmm/error.h"

namespace ensemble::vmm {

// Something that the guest finds in memory at its start, by `name`.
struct BootModule {
  enum class Placement {
    kCopied,  // Into RAM, on a page boundary, after the kernel.
    kMapped,  // The file itself, read-only, above all RAM. Needs `path`.
  };

  std::string name = {};  // "boot", "manifest", "root": at most 64 bytes, printable, no space.
  Placement placement = Placement::kCopied;
  std::string path = {};                 // The file that holds the contents, or empty:
  std::vector<std::byte> contents = {};  // the contents themselves (kCopied only).
};

// ACPI tables that were made for a place in guest memory.
struct AcpiTables {
  uint64_t address = 0;                  // In the range that PCs reserve below 1 MiB.
  std::vector<std::byte> contents = {};  // The RSDP first; empty: there are none.
};

// What a machine starts from.
struct BootSource {
  // A PVH ELF, or Linux's own image ("bzImage"), which takes one module at most: its initial RAM
  // disk (on x86-64).
  std::string kernel_path = {};
  std::string command_line = {};         // At most 2,047 bytes; no NUL.
  std::vector<BootModule> modules = {};  // At most 16.
  AcpiTables acpi = {};
};

// Whether command line and modules are within the limits above.
Result<void> check_boot_source(const BootSource& source);

}  // namespace ensemble::vmm
