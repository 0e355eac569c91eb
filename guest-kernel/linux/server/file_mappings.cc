#include "guest-kernel/linux/server/file_mappings.h"

#include <algorithm>

#include "guest-kernel/linux/server/process_memory.h"

namespace linux_server {

void forget_mapped_pages(const Node& file, std::uint64_t first, std::uint64_t last, bool copies) {
  if (file.mappings == 0) {
    return;
  }
  for (ProcessMemory* const memory : ProcessMemory::all()) {
    if (memory != nullptr) {
      memory->space().forget_file_pages(file, first, last, copies);
    }
  }
}

bool is_mapped_writable(const Node& file) {
  const auto memories = ProcessMemory::all();
  return file.mappings != 0 &&
         std::any_of(memories.begin(), memories.end(), [&file](const ProcessMemory* memory) {
           return memory != nullptr && memory->space().shares_writable(file);
         });
}

}  // namespace linux_server
