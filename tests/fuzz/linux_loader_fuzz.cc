#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "linux_image.h"
#include "linux_loader.h"
#include "vmm/guest_memory.h"

// A kernel file of any content is either refused, or its kernel lies where it wants to, with room
// for what it needs.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ensemble::vmm;
  constexpr uint64_t kMemorySize = 16 << 20;
  static GuestMemory memory = GuestMemory::create(kMemorySize).value();

  const auto bytes = std::as_bytes(std::span(data, size));
  const arch::KernelFile file{.label = "kernel", .contents = {bytes.begin(), bytes.end()}};
  const auto entry = arch::load_linux(memory, {.command_line = "quiet"}, file);
  if (!entry) {
    if (entry.error().message().empty()) {
      std::abort();
    }
    return 0;
  }
  const auto image = arch::parse_linux_image(file.contents);
  if (!image || image->address + image->memory_size > kMemorySize ||
      entry->entry >= image->address + image->kernel.size()) {
    std::abort();
  }
  const auto placed = memory.readable_span(image->address, image->kernel.size());
  if (!placed || !std::equal(placed->begin(), placed->end(), image->kernel.begin())) {
    std::abort();
  }
  return 0;
}
