#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vmm/error.h"

namespace ensemble::vmm::arch {

// A segment of a kernel, where it wants to lie in guest-physical memory.
struct PvhSegment {
  unsigned index = 0;  // Of its program header, for errors.
  uint64_t guest_address = 0;
  std::span<const std::byte> contents;  // From the file; the rest of `memory_size` is zero.
  uint64_t memory_size = 0;             // Never 0.
};

// A kernel for the Xen HVM direct boot ABI ("PVH"): an x86-64 ELF with the note
// XEN_ELFNOTE_PHYS32_ENTRY.
struct PvhImage {
  uint32_t entry = 0;  // Guest-physical; lies in a segment.
  std::vector<PvhSegment> segments;
  bool is_linux = false;  // As the note XEN_ELFNOTE_GUEST_OS says.
};

// Reads an ELF that may be malformed in any way. `file` must outlive the result. No segments
// overlap, and none wraps around; whether they lie in memory is not looked at.
Result<PvhImage> parse_pvh_image(std::span<const std::byte> file);

}  // namespace ensemble::vmm::arch
