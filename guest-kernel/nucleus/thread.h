#pragma once

#include <cstdint>

#include "frame.h"
#include "guest-kernel/abi/layout.h"
#include "guest-kernel/nucleus/domain.h"

namespace nucleus {

struct Processor;

enum class ThreadState : std::uint32_t {
  kReady = 0,          // in a run queue
  kRunning = 1,        // a processor's current thread
  kWaiting = 2,        // for anything, on `port`
  kCalling = 3,        // queued at `port`: no receiver has taken its call yet
  kAwaitingReply = 4,  // of domain `replier`, to `token`
  kFaulted = 5,        // as kAwaitingReply; the reply decides, and leaves its registers alone
  kFaultQueued = 6,    // as kCalling, with the fault in `frame` and `fault_address`
  kSuspended = 7,
  kEnded = 8,
};

struct Thread : Object {
  Frame frame;           // TSS.RSP0 points at its end
  Processor* processor;  // where it runs or last ran; nullptr before
  Domain* domain;        // holds a reference
  Processor* pinned;     // nullptr: any processor
  Thread* next;          // in the run queue, the port's waiters or its senders
  Port* port;            // where it waits or calls
  Domain* replier;       // who may answer `token`
  std::uint64_t token;   // index in the thread table << 32 | sequence number
  ThreadState state;
  bool bare;               // uses no vector registers and no FS or GS base
  bool suspend_requested;  // as soon as it would become ready. Fast IPC reads both as one word.
  std::uint8_t priority;

  Thread* previous;  // in the run queue or the port's senders
  Thread* next_in_domain;
  Thread* previous_in_domain;
  std::uint64_t call_badge;  // of the capability that a queued call came through
  std::uint64_t fault_address;
  std::uint64_t fs_base;
  std::uint64_t gs_base;
  void* vector_state;  // nullptr for a bare thread
};

// Where every system call returns to: the `ret` in the entry page.
inline constexpr std::uint64_t kSystemCallReturn = abi::kSystemCallEntry + 2;

inline constexpr std::uint32_t kMaximumThreads = 4096;

// Index → thread, for reply tokens. Entries below `thread_limit` are never null: a free one points
// at a thread that has ended. Entry 0 is not used, so that no token is 0.
extern "C" Thread* thread_table[kMaximumThreads];
extern "C" std::uint32_t thread_limit;

// The processor whose current thread this is, though its state may not be kRunning any more: until
// that one has scheduled it stands on the thread's frame.
Processor* standing_on(const Thread& thread);

// A suspended thread of `domain`, paid by `payer`. nullptr: quota, or too many threads.
Thread* create_thread(Domain* payer, Domain* domain, bool bare);

// Takes it out of all queues, for good, and frees it if nothing refers to it.
void end_thread(Thread& thread);
// An ended thread without references is freed once no processor stands on its frame any more.
void free_ended_thread(Thread& thread);

// Makes a blocked call or wait return `status` (ready to run again). False: it was not blocked.
bool cancel_block(Thread& thread, abi::Status status);

// The reply that `token` names is owed by `domain`: the thread that waits for it, or nullptr.
Thread* thread_awaiting(std::uint64_t token, const Domain* domain);

// Nobody will answer the calls that `domain` has received: they return kPeerGone.
void fail_replies_of(const Domain& domain);

// Unlinks a thread from the port queue that it is in.
void leave_port_queue(Thread& thread);

// Makes the frame return from a system call: after fast IPC, only rsp in it is up to date.
void complete_system_call(Thread& thread, abi::Status status);

}  // namespace nucleus
