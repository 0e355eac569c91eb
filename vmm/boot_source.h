#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

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

// What a machine starts from.
struct BootSource {
  std::string kernel_path = {};          // A PVH ELF (on x86-64).
  std::string command_line = {};         // At most 2,047 bytes; no NUL.
  std::vector<BootModule> modules = {};  // At most 16.
};

}  // namespace ensemble::vmm
