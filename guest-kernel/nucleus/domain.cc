#include "guest-kernel/nucleus/domain.h"

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/nucleus/interrupt.h"
#include "guest-kernel/nucleus/kernel_memory.h"
#include "guest-kernel/nucleus/port.h"
#include "guest-kernel/nucleus/region.h"
#include "guest-kernel/nucleus/thread.h"
#include "guest-kernel/nucleus/timer.h"
#include "page_table.h"
#include "processor.h"

namespace nucleus {
namespace {

// Gives the object's memory back; `payer` may go with it.
void free_object(Object* object, std::uint64_t size) {
  Domain* payer = object->payer;
  if (payer == nullptr) {
    free_kernel_memory(object, size);
    return;
  }
  free_charged(*payer, object, size);
  drop_reference(payer);
}

void unlink_from_parent(Domain& domain) {
  if (domain.payer == nullptr) {
    return;
  }
  (domain.previous_sibling != nullptr ? domain.previous_sibling->next_sibling
                                      : domain.payer->first_child) = domain.next_sibling;
  if (domain.next_sibling != nullptr) {
    domain.next_sibling->previous_sibling = domain.previous_sibling;
  }
}

bool may_receive(const Slot& slot) {
  return slot.type() == ObjectType::kPort && (slot.rights() & abi::kRightReceive) != 0;
}

Domain* first_ending;
bool ending_domains;

void close_domain(Domain& domain) {
  domain.ended = true;
  while (domain.threads != nullptr) {
    end_thread(*domain.threads);
  }
  fail_replies_of(domain);
  for (Domain* child = domain.first_child; child != nullptr; child = child->next_sibling) {
    end_domain(*child);  // joins the list
  }
  // Other processors have left the threads and the address space before its tables go.
  flush_other_processors(running_processor(), domain, true);
  if (Processor& self = running_processor(); self.space == &domain) {
    leave_space(self);
  }
  for (std::uint64_t i = 0; i < domain.slot_count; ++i) {
    if (!domain.slots[i].empty()) {
      clear_slot(domain.slots[i]);
    }
  }
  free_charged(domain, domain.slots, domain.slot_count * sizeof(Slot));
  domain.slots = nullptr;
  domain.slot_count = 0;
  if (domain.fault_port != nullptr) {
    drop_reference(domain.fault_port);
    domain.fault_port = nullptr;
  }
  destroy_page_table(domain);
}

void end_object(Object* object) {
  switch (object->type) {
    case ObjectType::kDomain:
      end_domain(static_cast<Domain&>(*object));
      break;
    case ObjectType::kThread:
      // Freed at once, or by the processor that still stands on its frame.
      end_thread(static_cast<Thread&>(*object));
      break;
    case ObjectType::kPort:
      end_port(static_cast<Port&>(*object));
      free_object(object, sizeof(Port));
      break;
    case ObjectType::kRegion:
    case ObjectType::kIoPorts:
      free_object(object, sizeof(Region));
      break;
    case ObjectType::kTimer: {
      auto& timer = static_cast<Timer&>(*object);
      disarm_timer(timer);
      drop_reference(timer.signal.port);
      --timer.payer->timers;
      free_object(object, sizeof(Timer));
      break;
    }
    case ObjectType::kInterrupt:
      end_interrupt(static_cast<Interrupt&>(*object));
      free_object(object, sizeof(Interrupt));
      break;
    case ObjectType::kInterruptControl:
    case ObjectType::kMachine:
    case ObjectType::kNone:
      break;  // static objects
  }
}

}  // namespace

void add_reference(Object* object) {
  ++object->references;
}

void drop_reference(Object* object) {
  if (--object->references == 0) {
    end_object(object);
  }
}

void fill_slot(Slot& slot, Object* object, std::uint64_t rights, std::uint64_t badge) {
  add_reference(object);
  slot.word = capability_word(object, rights);
  slot.badge = badge;
  if (may_receive(slot)) {
    ++static_cast<Port&>(*object).receivers;
  }
}

void clear_slot(Slot& slot) {
  Object* object = slot.object();
  const bool received = may_receive(slot);
  slot = {};
  if (received && --static_cast<Port&>(*object).receivers == 0) {
    end_port(static_cast<Port&>(*object));
  }
  drop_reference(object);
}

Domain* create_domain(Domain* payer, std::uint64_t slot_count, std::uint64_t pages) {
  const std::uint64_t quota = pages * abi::kPageSize;
  Domain* domain = nullptr;
  if (payer == nullptr) {
    domain = static_cast<Domain*>(allocate_kernel_memory(sizeof(Domain)));
  } else {
    if (payer->quota < quota) {
      return nullptr;
    }
    domain = static_cast<Domain*>(allocate_charged(*payer, sizeof(Domain)));
  }
  if (domain == nullptr) {
    return nullptr;
  }
  domain->type = ObjectType::kDomain;
  domain->quota = domain->quota_total = quota;
  domain->payer = payer;
  domain->shares_quota = payer != nullptr && pages == 0;
  domain->slots = static_cast<Slot*>(allocate_charged(*domain, slot_count * sizeof(Slot)));
  if (domain->slots != nullptr) {
    domain->slot_count = slot_count;
  }
  if (domain->slots == nullptr || !create_page_table(*domain)) {
    destroy_page_table(*domain);
    if (domain->slots != nullptr) {
      free_charged(*domain, domain->slots, slot_count * sizeof(Slot));
    }
    if (payer != nullptr) {
      free_charged(*payer, domain, sizeof(Domain));
    }
    return nullptr;
  }
  if (payer != nullptr) {
    payer->quota -= quota;
    add_reference(payer);
    domain->next_sibling = payer->first_child;
    if (payer->first_child != nullptr) {
      payer->first_child->previous_sibling = domain;
    }
    payer->first_child = domain;
    if (payer->fault_port != nullptr) {
      domain->fault_port = payer->fault_port;
      domain->fault_badge = payer->fault_badge;
      add_reference(domain->fault_port);
    }
  }
  fill_slot(domain->slots[abi::kSelfSlot], domain, abi::kAllRights, 0);
  return domain;
}

void end_domain(Domain& domain) {
  if (domain.ending) {
    return;
  }
  domain.ending = true;
  domain.next_ending = first_ending;
  first_ending = &domain;
  if (ending_domains) {
    return;  // whoever is at it will come to this one
  }
  ending_domains = true;
  while (Domain* next = first_ending) {
    first_ending = next->next_ending;
    if (!next->ended) {
      close_domain(*next);
    }
    next->ending = false;
    if (next->references == 0) {
      unlink_from_parent(*next);
      if (next->payer != nullptr) {
        next->payer->quota += next->quota_total;
      }
      free_object(next, sizeof(Domain));
    }
  }
  ending_domains = false;
}

}  // namespace nucleus
