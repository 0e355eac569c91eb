#include "guest-kernel/nucleus/system_call.h"

namespace nucleus {

using abi::Status;

Status capability_copy(std::uint64_t domain, std::uint64_t to, std::uint64_t from,
                       std::uint64_t rights, std::uint64_t badge, std::uint64_t) {
  Domain& caller = calling_domain();
  Status status{};
  Domain* target = find<Domain>(caller, domain, abi::kRightGrant, status);
  if (target == nullptr) {
    return status;
  }
  const Slot* source = caller.slot(from);
  Slot* destination = target->slot(to);
  if (source == nullptr || source->empty() || destination == nullptr || to == 0) {
    return Status::kBadCapability;
  }
  if (!destination->empty()) {
    return Status::kSlotInUse;
  }
  if (badge == abi::kKeepBadge) {
    badge = source->badge;
  } else if (source->type() != ObjectType::kPort || source->badge != 0) {
    return Status::kNoRight;
  }
  fill_slot(*destination, source->object(), source->rights() & rights, badge);
  return Status::kOk;
}

Status capability_delete(std::uint64_t domain, std::uint64_t from, std::uint64_t, std::uint64_t,
                         std::uint64_t, std::uint64_t) {
  Status status{};
  Domain* target = find<Domain>(calling_domain(), domain, abi::kRightGrant, status);
  if (target == nullptr) {
    return status;
  }
  Slot* slot = target->slot(from);
  if (slot == nullptr || slot->empty()) {
    return Status::kBadCapability;
  }
  // This may be the last name of the caller's own thread or domain: nothing here is used after.
  clear_slot(*slot);
  return Status::kOk;
}

}  // namespace nucleus
