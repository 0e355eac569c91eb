#include "processor.h"

#include "descriptor_tables.h"
#include "guest-kernel/abi/layout.h"
#include "guest-kernel/nucleus/kernel_lock.h"
#include "guest-kernel/nucleus/kernel_memory.h"
#include "instructions.h"
#include "local_apic.h"
#include "page_table.h"
#include "vector_state.h"

extern "C" {
// boot.S, entry.S, user_entry.S, trampoline.S and nucleus.ld
extern char boot_processor_block[nucleus::kProcessorBlockSize];
extern char hardware_system_call[], interpreted_system_call[], probe_interpreted[];
extern char entry_page[], probe_start[], probe_landing[];
extern char system_call_instruction[];
extern char trampoline_start[], trampoline_end[], trampoline_processor[];
struct Patch {
  char* site;
  char* target;  // null: a three-byte nop; else a five-byte jump there
};
extern Patch patch_table_start[], patch_table_end[];
std::uint64_t probe(std::uint64_t user_rip);
void idle_halt();
}

namespace nucleus {

Processor* processors[kMaximumProcessors];
unsigned processor_count;
bool machine_interpreted;

namespace {

constexpr std::uint64_t kTrampolinePage = 0x8000;

void* block_end(Processor& processor) {
  return reinterpret_cast<char*>(&processor) + kProcessorBlockSize;
}

void set_user_bases(const Thread& thread) {
  write_msr(kMsrFsBase, thread.fs_base);
  // On hardware the kernel runs with GS swapped.
  write_msr(machine_interpreted ? kMsrGsBase : kMsrKernelGsBase, thread.gs_base);
}

void* owner_state(const Processor& processor) {
  return processor.user_owner != nullptr ? processor.user_owner->vector_state : nullptr;
}

// For a processor that goes on with what it did.
void save_owner(Processor& processor) {
  Domain* const space = processor.space;
  const std::uint64_t stack = processor.task_state.rsp0;
  exchange_vector_state(processor, owner_state(processor), nullptr);
  processor.task_state.rsp0 = stack;
  if (processor.space != space) {
    processor.space = space;
    write_cr3(space->page_table);
  }
}

// The kernel's text is read-only; the direct map reaches it as data.
char* writable_alias(const char* code) {
  constexpr std::uint64_t kKernelBase = 0xffff'ffff'8000'0000;
  return physical_pointer<char>(reinterpret_cast<std::uint64_t>(code) - kKernelBase);
}

// Another processor serves the request from its kick interrupt, or while it waits for the kernel
// lock, which the caller holds.
void request_and_wait(Processor& other, bool& request) {
  __atomic_store_n(&request, true, __ATOMIC_RELEASE);
  send_kick(other);
  while (__atomic_load_n(&request, __ATOMIC_ACQUIRE)) {
    pause();
  }
}

void apply_patches() {
  for (Patch* patch = patch_table_start; patch != patch_table_end; ++patch) {
    char* code = writable_alias(patch->site);
    if (patch->target == nullptr) {
      code[0] = 0x0f;
      code[1] = 0x1f;
      code[2] = 0x00;
    } else {
      const auto distance = static_cast<std::int32_t>(patch->target - (patch->site + 5));
      code[0] = static_cast<char>(0xe9);
      *reinterpret_cast<std::int32_t*>(code + 1) = distance;
    }
  }
  char* entry = writable_alias(system_call_instruction);
  entry[0] = static_cast<char>(0x90);  // nop
  entry[1] = static_cast<char>(0xcc);  // int3
}

}  // namespace

Processor* initialize_boot_processor() {
  auto& processor = *reinterpret_cast<Processor*>(boot_processor_block);
  processor.stack_top = block_end(processor);
  processors[0] = &processor;
  processor_count = 1;
  return &processor;
}

void load_processor(Processor& processor) {
  load_descriptor_tables(processor);
  write_msr(kMsrGsBase, reinterpret_cast<std::uint64_t>(&processor));
  write_msr(kMsrStar, (kKernelDataSelector << 48) | (kKernelCodeSelector << 32));
  constexpr std::uint64_t kClearedFlags = 0x4'7700;  // TF, IF, DF, IOPL, NT, AC
  write_msr(kMsrSyscallMask, kClearedFlags);
}

VectorState probe_and_patch(Processor& boot_processor) {
  // The interpreted probe comes in through the breakpoint gate, onto a stack of its own below the
  // one that this function runs on.
  boot_processor.task_state.rsp0 =
      (reinterpret_cast<std::uint64_t>(&boot_processor) + sizeof(Processor) + 512) &
      ~std::uint64_t{15};
  set_breakpoint_gate(probe_interpreted);
  write_msr(kMsrLstar, abi::kEntryPage + static_cast<std::uint64_t>(probe_landing - entry_page));
  const std::uint64_t found =
      probe(abi::kEntryPage + static_cast<std::uint64_t>(probe_start - entry_page));
  machine_interpreted = found != 0;
  if (machine_interpreted) {
    apply_patches();
    set_breakpoint_gate(interpreted_system_call);
  } else {
    set_breakpoint_gate(nullptr);
  }
  constexpr std::uint64_t kSizeMask = 0x7fff'ffff;
  return {.components = static_cast<std::uint32_t>(found),
          .size = static_cast<std::uint32_t>(found >> 32 & kSizeMask)};
}

void load_system_call_entry() {
  write_msr(kMsrLstar, machine_interpreted ? abi::kForeignEntry
                                           : reinterpret_cast<std::uint64_t>(hardware_system_call));
  if (machine_interpreted) {
    // `syscall` stays in ring 3 there, and must not take its interrupts away.
    write_msr(kMsrSyscallMask, 0);
    return;
  }
  // The kernel never touches user memory: keep it from doing so by accident.
  constexpr std::uint64_t kSmep = 1u << 20;
  constexpr std::uint64_t kSmap = 1u << 21;
  const std::uint32_t features = cpuid(7).ebx;
  std::uint64_t controls = read_cr4();
  controls |= (features & (1u << 7)) != 0 ? kSmep : 0;
  controls |= (features & (1u << 20)) != 0 ? kSmap : 0;
  constexpr std::uint64_t kUmip = 1u << 11;  // `sgdt` and its like would tell kernel addresses
  controls |= (cpuid(7).ecx & (1u << 2)) != 0 ? kUmip : 0;
  write_cr4(controls);
}

abi::Status start_processor(std::uint32_t apic_id, std::uint64_t& index) {
  for (unsigned i = 0; i < processor_count; ++i) {
    if (processors[i]->apic_id == apic_id) {
      return abi::Status::kBadState;
    }
  }
  if (processor_count == kMaximumProcessors) {
    return abi::Status::kNoMemory;
  }
  // A block twice the size always contains one that is aligned.
  void* memory = allocate_kernel_memory(2 * kProcessorBlockSize);
  if (memory == nullptr) {
    return abi::Status::kNoMemory;
  }
  auto* processor = reinterpret_cast<Processor*>(
      (reinterpret_cast<std::uint64_t>(memory) + kProcessorBlockSize - 1) &
      ~(kProcessorBlockSize - 1));
  processor->stack_top = block_end(*processor);
  processor->apic_id = apic_id;
  processor->index = processor_count;
  const auto size = static_cast<std::uint64_t>(trampoline_end - trampoline_start);
  const void* source = trampoline_start;
  void* to = physical_pointer(kTrampolinePage);
  auto count = size;
  asm volatile("rep movsb" : "+S"(source), "+D"(to), "+c"(count)::"memory");
  *physical_pointer<Processor*>(
      kTrampolinePage + static_cast<std::uint64_t>(trampoline_processor - trampoline_start)) =
      processor;
  // The trampoline runs from identity-mapped low memory.
  map_trampoline(kTrampolinePage, true);
  send_init_and_startup(apic_id, kTrampolinePage >> 12);
  // A quarter of a second to one: longer than any host takes to schedule a thread.
  constexpr std::uint64_t kPatience = std::uint64_t{1} << 30;
  const std::uint64_t start = read_tsc();
  while (__atomic_load_n(&processors[processor->index], __ATOMIC_ACQUIRE) == nullptr) {
    if (read_tsc() - start > kPatience) {
      // It must not come later, when its block and the trampoline serve for something else.
      send_init(apic_id);
      processors[processor->index] = nullptr;
      map_trampoline(kTrampolinePage, false);
      free_kernel_memory(memory, 2 * kProcessorBlockSize);
      return abi::Status::kNotFound;
    }
    pause();
  }
  map_trampoline(kTrampolinePage, false);
  index = processor->index;
  ++processor_count;
  return abi::Status::kOk;
}

extern "C" void processor_main(Processor* processor) {
  load_processor(*processor);
  load_system_call_entry();
  load_vector_controls();
  initialize_local_apic();
  __atomic_store_n(&processors[processor->index], processor, __ATOMIC_RELEASE);
  // Back in boot.S it halts until it is kicked.
}

void leave_space(Processor& processor) {
  processor.space = nullptr;
  write_cr3(kernel_page_table());
}

void switch_to(Processor& processor, Thread& thread) {
  processor.current = &thread;
  thread.processor = &processor;
  if (!thread.bare && processor.user_owner != &thread) {
    exchange_vector_state(processor, owner_state(processor), thread.vector_state);
    processor.user_owner = &thread;
    set_user_bases(thread);
  }
  processor.task_state.rsp0 = reinterpret_cast<std::uint64_t>(&thread.frame + 1);
  if (processor.space != thread.domain) {
    processor.space = thread.domain;
    write_cr3(thread.domain->page_table);
  }
}

void set_thread_bases(Processor& self, Thread& thread, std::uint64_t fs, std::uint64_t gs) {
  thread.fs_base = fs;
  thread.gs_base = gs;
  if (self.user_owner == &thread) {
    set_user_bases(thread);
  }
}

bool Processor::has_requests() const {
  return __atomic_load_n(&flush_requested, __ATOMIC_ACQUIRE) ||
         __atomic_load_n(&save_user_state_requested, __ATOMIC_ACQUIRE);
}

void Processor::serve_requests() {
  if (__atomic_load_n(&save_user_state_requested, __ATOMIC_ACQUIRE)) {
    save_owner(*this);
    user_owner = nullptr;
    __atomic_store_n(&save_user_state_requested, false, __ATOMIC_RELEASE);
  }
  if (__atomic_load_n(&flush_requested, __ATOMIC_ACQUIRE)) {
    if (leave_space_requested) {
      leave_space_requested = false;
      leave_space(*this);
    } else {
      write_cr3(read_cr3());
    }
    __atomic_store_n(&flush_requested, false, __ATOMIC_RELEASE);
  }
}

void acquire_kernel_lock(Processor& processor) {
  while (__atomic_exchange_n(&kernel_lock_word, 1, __ATOMIC_ACQUIRE) != 0) {
    while (__atomic_load_n(&kernel_lock_word, __ATOMIC_RELAXED) != 0) {
      if (processor.has_requests()) {
        processor.serve_requests();
      }
      pause();
    }
  }
}

void flush_other_processors(Processor& self, const Domain& domain, bool leave) {
  for (unsigned i = 0; i < processor_count; ++i) {
    Processor& other = *processors[i];
    if (&other == &self || other.space != &domain) {
      continue;
    }
    other.leave_space_requested = leave;
    request_and_wait(other, other.flush_requested);
  }
}

void recall_user_state(Processor& self, Thread& thread) {
  if (self.user_owner == &thread) {
    save_owner(self);
    self.user_owner = nullptr;
    return;
  }
  for (unsigned i = 0; i < processor_count; ++i) {
    Processor& other = *processors[i];
    if (other.user_owner != &thread) {
      continue;
    }
    request_and_wait(other, other.save_user_state_requested);
  }
}

void forget_user_state(const Thread& thread) {
  for (unsigned i = 0; i < processor_count; ++i) {
    if (processors[i]->user_owner == &thread) {
      processors[i]->user_owner = nullptr;
    }
  }
}

void evict_current(const Thread& thread) {
  Processor* processor = thread.processor;
  if (processor != nullptr && processor->current == &thread && processor != &running_processor()) {
    request_and_wait(*processor, processor->flush_requested);
  }
}

}  // namespace nucleus
