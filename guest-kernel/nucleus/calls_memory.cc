#include "guest-kernel/abi/layout.h"
#include "guest-kernel/nucleus/region.h"
#include "guest-kernel/nucleus/system_call.h"
#include "instructions.h"
#include "page_table.h"

namespace nucleus {

using abi::Status;

namespace {

constexpr std::uint64_t kPageMask = abi::kPageSize - 1;
constexpr std::uint64_t kProtectionRights = abi::kRightRead | abi::kRightWrite | abi::kRightExecute;

// [start, start + size) is not empty and lies in [low, high).
bool is_range(std::uint64_t start, std::uint64_t size, std::uint64_t low, std::uint64_t high) {
  return size != 0 && start >= low && start < high && size <= high - start;
}

bool is_page_range(std::uint64_t start, std::uint64_t size, std::uint64_t low, std::uint64_t high) {
  return ((start | size) & kPageMask) == 0 && is_range(start, size, low, high);
}

bool is_user_range(std::uint64_t address, std::uint64_t size) {
  return is_page_range(address, size, abi::kUserStart, abi::kSharedStart) ||
         is_page_range(address, size, abi::kSharedEnd, abi::kUserEnd);
}

// Has all processors forget what was changed in the domain's translations.
void flush(Domain& domain) {
  Processor& self = running_processor();
  if (self.space == &domain) {
    write_cr3(domain.page_table);
  }
  flush_other_processors(self, domain, false);
}

// The domain in a slot of the caller's, if it may change its mappings and the range is sound.
Domain* find_mapped_domain(std::uint64_t slot, std::uint64_t address, std::uint64_t size,
                           Status& status) {
  Domain* target = find<Domain>(calling_domain(), slot, abi::kRightMap, status);
  if (target == nullptr) {
    return nullptr;
  }
  if (target->ended) {
    status = Status::kBadState;
    return nullptr;
  }
  if (!is_user_range(address, size)) {
    status = Status::kBadArgument;
    return nullptr;
  }
  return target;
}

}  // namespace

Status region_carve(std::uint64_t source_slot, std::uint64_t to, std::uint64_t start,
                    std::uint64_t size, std::uint64_t rights, std::uint64_t) {
  Domain& caller = calling_domain();
  Status status{};
  const Slot* number = caller.slot(source_slot);
  const bool ports = number != nullptr && number->type() == ObjectType::kIoPorts;
  const Slot* source = check_slot(caller, source_slot,
                                  ports ? ObjectType::kIoPorts : ObjectType::kRegion, 0, status);
  if (source == nullptr) {
    return status;
  }
  Slot* slot = find_free_slot(caller, to, status);
  if (slot == nullptr) {
    return status;
  }
  const auto& region = static_cast<Region&>(*source->object());
  if (!is_range(start, size, 0, region.size) || (!ports && ((start | size) & kPageMask) != 0)) {
    return Status::kBadArgument;
  }
  Region* part = ports ? create_io_ports(&caller, region.base + start, size)
                       : create_region(&caller, region.base + start, size, region.device);
  if (part == nullptr) {
    return Status::kNoMemory;
  }
  fill_slot(*slot, part, source->rights() & rights, 0);
  return Status::kOk;
}

Status map(std::uint64_t domain, std::uint64_t address, std::uint64_t region_slot,
           std::uint64_t offset, std::uint64_t size, std::uint64_t rights) {
  Domain& caller = calling_domain();
  Status status{};
  Domain* target = find<Domain>(caller, domain, abi::kRightMap, status);
  if (target == nullptr) {
    return status;
  }
  const Slot* source = check_slot(caller, region_slot, ObjectType::kRegion, 0, status);
  if (source == nullptr) {
    return status;
  }
  if (target->ended) {
    return Status::kBadState;
  }
  const auto& region = static_cast<Region&>(*source->object());
  if (!is_user_range(address, size) || !is_page_range(offset, size, 0, region.size) ||
      (rights & ~kProtectionRights) != 0) {
    return Status::kBadArgument;
  }
  if ((rights & ~source->rights()) != 0) {
    return Status::kNoRight;
  }
  bool changed = false;
  status =
      map_range(*target, address, region.base + offset, size,
                {.rights = rights, .maximum = source->rights(), .device = region.device}, changed);
  if (changed) {
    flush(*target);
  }
  return status;
}

Status unmap(std::uint64_t domain, std::uint64_t address, std::uint64_t size, std::uint64_t,
             std::uint64_t, std::uint64_t) {
  Status status{};
  Domain* target = find_mapped_domain(domain, address, size, status);
  if (target == nullptr) {
    return status;
  }
  bool changed = false;
  status = unmap_range(*target, address, size, changed);
  if (changed) {
    flush(*target);
  }
  return status;
}

Status protect(std::uint64_t domain, std::uint64_t address, std::uint64_t size,
               std::uint64_t rights, std::uint64_t, std::uint64_t) {
  Status status{};
  Domain* target = find_mapped_domain(domain, address, size, status);
  if (target == nullptr) {
    return status;
  }
  if ((rights & ~kProtectionRights) != 0) {
    return Status::kBadArgument;
  }
  bool changed = false;
  status = protect_range(*target, address, size, rights, changed);
  if (changed) {
    flush(*target);
  }
  return status;
}

}  // namespace nucleus
