#pragma once

#include <cstdint>

#include "guest-kernel/abi/system_call.h"
#include "guest-kernel/nucleus/capability.h"

namespace nucleus {

struct Port;
struct Thread;
struct TableLedger;

// A protection domain: an address space and the capabilities that its threads may use.
struct Domain : Object {
  std::uint64_t page_table = 0;  // physical address of the top level
  Slot* slots = nullptr;
  std::uint64_t slot_count = 0;
  std::uint64_t quota = 0;  // bytes of kernel memory that it may still take
  std::uint64_t quota_total = 0;
  bool shares_quota = false;   // has none of its own: what it needs is charged to `payer`
  Port* fault_port = nullptr;  // holds a reference
  std::uint64_t fault_badge = 0;
  Thread* threads = nullptr;  // linked by Thread::next_in_domain
  TableLedger* tables = nullptr;
  std::uint64_t table_count = 0;
  // Empty tables that unmapping has left, linked by their first entries; 0: none.
  std::uint64_t spare_table = 0;
  // Domains that this one pays for: they end with it.
  Domain* first_child = nullptr;
  Domain* next_sibling = nullptr;
  Domain* previous_sibling = nullptr;
  Domain* next_ending = nullptr;
  std::uint32_t timers = 0;           // that it pays for
  std::uint8_t highest_priority = 0;  // that it may give to threads
  bool may_make_bare = false;
  bool ending = false;  // in the list of domains to be ended or freed
  bool ended = false;

  // The slot, or nullptr where the number is out of range.
  Slot* slot(std::uint64_t number) { return number < slot_count ? &slots[number] : nullptr; }
};

// A new domain whose quota of `pages` comes out of `payer`'s (0: shares it), with itself in slot 1.
// nullptr: quota.
Domain* create_domain(Domain* payer, std::uint64_t slot_count, std::uint64_t pages);

// Ends its threads, mappings, capabilities and children. The object stays until its last reference
// goes. Domains that end because of it do so one after another, not one within another.
void end_domain(Domain& domain);

void add_reference(Object* object);
// Ends and frees the object when this was its last reference.
void drop_reference(Object* object);

// Puts a capability into an empty slot, or empties a slot.
void fill_slot(Slot& slot, Object* object, std::uint64_t rights, std::uint64_t badge);
void clear_slot(Slot& slot);

}  // namespace nucleus
