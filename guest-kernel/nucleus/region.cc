#include "guest-kernel/nucleus/region.h"

#include "guest-kernel/nucleus/kernel_memory.h"

namespace nucleus {

Region* create_region(Domain* payer, std::uint64_t base, std::uint64_t size, bool device) {
  void* memory = payer != nullptr ? allocate_charged(*payer, sizeof(Region))
                                  : allocate_kernel_memory(sizeof(Region));
  if (memory == nullptr) {
    return nullptr;
  }
  auto* region = static_cast<Region*>(memory);
  region->type = ObjectType::kRegion;
  region->base = base;
  region->size = size;
  region->device = device;
  if (payer != nullptr) {
    region->payer = payer;
    add_reference(payer);
  }
  return region;
}

Region* create_io_ports(Domain* payer, std::uint64_t first, std::uint64_t count) {
  Region* ports = create_region(payer, first, count, true);
  if (ports != nullptr) {
    ports->type = ObjectType::kIoPorts;
  }
  return ports;
}

}  // namespace nucleus
