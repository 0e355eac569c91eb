#pragma once

#include <cstdint>

#include "guest-kernel/abi/system_call.h"
#include "guest-kernel/nucleus/thread.h"

namespace nucleus {

// What each processor has of its own: descriptor tables, run queues, timers. It lies at the start
// of a block of kProcessorBlockSize bytes, aligned to that size; the kernel stack is the block's
// rest, so that code which runs on that stack finds its processor by the stack pointer.
inline constexpr std::uint64_t kProcessorBlockSize = 8192;
inline constexpr unsigned kMaximumProcessors = 8;

struct Timer;

struct [[gnu::packed]] TaskState {
  std::uint32_t reserved0;
  std::uint64_t rsp0;
  std::uint64_t unused[11];
  std::uint16_t reserved1;
  std::uint16_t io_map_base;
};
static_assert(sizeof(TaskState) == 104);

struct Processor {
  Thread* current = nullptr;  // nullptr: idle
  void* stack_top = nullptr;
  Domain* space = nullptr;       // whose page table is loaded; nullptr: the kernel's
  Thread* user_owner = nullptr;  // whose vector registers, FS and GS base are loaded
  std::uint64_t user_rsp = 0;    // entry.S, between two instructions, or while ring 3 works for it
  TaskState task_state{};
  bool reschedule = false;             // schedule() has something to decide
  std::uint64_t system_calls = 0;      // those that fast IPC did not take
  std::uint32_t ready_priorities = 0;  // bit per non-empty run queue
  std::uint32_t index = 0;
  // Where code comes back from that ran in ring 3 for it. With descriptors[0], which processors
  // ignore and which leads back here, it looks like a thread: a fault of that code is the kernel's.
  alignas(16) std::uint64_t gate_frame[24]{};
  std::uint64_t descriptors[7]{};
  std::uint32_t apic_id = 0;

  struct RunQueue {
    Thread* first = nullptr;
    Thread* last = nullptr;
  };
  RunQueue ready[abi::kPriorities];

  Timer* first_timer = nullptr;   // by deadline
  std::uint64_t slice_end = 0;    // TSC at which the current thread gives way; 0: no other waits
  std::uint64_t armed_until = 0;  // what the hardware timer is set to; 0: off

  // Requests of the processor that holds the kernel lock, which waits until they are served.
  bool flush_requested = false;
  bool leave_space_requested = false;
  bool save_user_state_requested = false;

  std::uint64_t switches = 0;
  std::uint64_t interrupts = 0;
  std::uint64_t idle_ticks = 0;
  std::uint64_t idle_since = 0;

  // Does what other processors asked for. Called with interrupts off, with or without the lock.
  void serve_requests();
  bool has_requests() const;
};

// The processor that runs this code, found by the stack pointer.
inline Processor& running_processor() {
  std::uint64_t stack = 0;
  asm("mov %%rsp, %0" : "=r"(stack));
  return *reinterpret_cast<Processor*>(stack & ~(kProcessorBlockSize - 1));
}

extern Processor* processors[kMaximumProcessors];
extern unsigned processor_count;

// The boot processor's block.
Processor* initialize_boot_processor();

// Loads the descriptor tables, system-call registers and control registers of the calling
// processor.
void load_processor(Processor& processor);

// Whether ring 0 is interpreted (`syscall` does not change the privilege level), found out once at
// boot by trying. It selects the entry and exit instructions, which are patched in.
extern "C" bool machine_interpreted;
// Where it is: the vector state that programs have (initialize_vector_state()).
struct VectorState {
  std::uint32_t components = 0;
  std::uint32_t size = 0;
};
VectorState probe_and_patch(Processor& boot_processor);
// After the probe: sets the calling processor's system-call entry.
void load_system_call_entry();

// Brings up the processor with that APIC ID: its index, or nothing if it did not come within a
// second.
abi::Status start_processor(std::uint32_t apic_id, std::uint64_t& index);

// Loads the kernel's own page table.
void leave_space(Processor& processor);

// The thread has ended: no processor may save its user state any more.
void forget_user_state(const Thread& thread);

// The thread's state is not kRunning any more: if another processor runs it, waits until that one
// has entered the kernel, so that the frame is complete and ring 3 has stopped.
void evict_current(const Thread& thread);

// Loads the thread's address space and user state, and makes it the processor's current one.
void switch_to(Processor& processor, Thread& thread);

// Has all other processors that use `domain`'s address space forget its translations, or leave it.
void flush_other_processors(Processor& self, const Domain& domain, bool leave);

// Sets the bases that ring 3 sees, now or when the thread runs next.
void set_thread_bases(Processor& self, Thread& thread, std::uint64_t fs, std::uint64_t gs);

// Writes the user state that may be live in another processor's registers back to the thread.
void recall_user_state(Processor& self, Thread& thread);

}  // namespace nucleus
