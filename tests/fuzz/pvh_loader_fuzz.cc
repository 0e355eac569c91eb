#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "pvh_image.h"
#include "pvh_loader.h"
#include "vmm/guest_memory.h"

// A kernel file of any content is either refused, or has all its segments copied to where they say.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ensemble::vmm;
  constexpr uint64_t kMemorySize = 16 << 20;
  static GuestMemory memory = GuestMemory::create(kMemorySize).value();

  const std::span file(reinterpret_cast<const std::byte*>(data), size);
  const auto kernel = arch::place_pvh_kernel(memory, file);
  if (!kernel) {
    if (kernel.error().message().empty()) {
      std::abort();
    }
    return 0;
  }
  const auto image = arch::parse_pvh_image(file);
  if (!image || kernel->entry >= kernel->end || kernel->end > kMemorySize) {
    std::abort();
  }
  for (const arch::PvhSegment& segment : image->segments) {
    const auto placed = memory.readable_span(segment.guest_address, segment.contents.size());
    if (!placed || !std::equal(placed->begin(), placed->end(), segment.contents.begin())) {
      std::abort();
    }
  }
  return 0;
}
