#include "guest-kernel/nucleus/port.h"
#include "guest-kernel/nucleus/system_call.h"

namespace nucleus {

using abi::Status;

Status domain_create(std::uint64_t, std::uint64_t to, std::uint64_t slots, std::uint64_t pages,
                     std::uint64_t limits, std::uint64_t) {
  Domain& caller = calling_domain();
  Status status{};
  Slot* slot = find_free_slot(caller, to, status);
  if (slot == nullptr) {
    return status;
  }
  constexpr std::uint64_t kLeastSlots = 16;
  constexpr std::uint64_t kMostSlots = 65536;
  constexpr std::uint64_t kMostPages = std::uint64_t{1} << 32;
  if (slots < kLeastSlots || slots > kMostSlots || (slots & (slots - 1)) != 0 ||
      pages > kMostPages || (limits >> 9) != 0) {
    return Status::kBadArgument;
  }
  Domain* domain = create_domain(&caller, slots, pages);
  if (domain != nullptr) {
    const auto highest = static_cast<std::uint8_t>(limits & 0xff);
    domain->highest_priority =
        highest < caller.highest_priority ? highest : caller.highest_priority;
    domain->may_make_bare = caller.may_make_bare && (limits >> 8) != 0;
  }
  return deliver(*slot, domain);
}

Status domain_set_fault_port(std::uint64_t domain, std::uint64_t port, std::uint64_t, std::uint64_t,
                             std::uint64_t, std::uint64_t) {
  Domain& caller = calling_domain();
  Status status{};
  Domain* target = find<Domain>(caller, domain, abi::kRightControl, status);
  if (target == nullptr) {
    return status;
  }
  const Slot* source = check_slot(caller, port, ObjectType::kPort, abi::kRightCall, status);
  if (source == nullptr) {
    return status;
  }
  if (target->ended) {
    return Status::kBadState;
  }
  add_reference(source->object());
  if (target->fault_port != nullptr) {
    drop_reference(target->fault_port);
  }
  target->fault_port = static_cast<Port*>(source->object());
  target->fault_badge = source->badge;
  return Status::kOk;
}

Status domain_end(std::uint64_t domain, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t,
                  std::uint64_t) {
  Status status{};
  Domain* target = find<Domain>(calling_domain(), domain, abi::kRightControl, status);
  if (target == nullptr) {
    return status;
  }
  end_domain(*target);
  return Status::kOk;
}

}  // namespace nucleus
