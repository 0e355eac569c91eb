#include "guest-kernel/nucleus/thread.h"

#include "guest-kernel/nucleus/kernel_memory.h"
#include "guest-kernel/nucleus/port.h"
#include "guest-kernel/nucleus/scheduler.h"
#include "processor.h"
#include "vector_state.h"

namespace nucleus {

extern "C" {
Thread* thread_table[kMaximumThreads];
std::uint32_t thread_limit = 1;
}

namespace {

// What free entries of the table point at.
Thread no_thread;
std::uint16_t next_free[kMaximumThreads];
std::uint32_t first_free;

// Sequence numbers go on from one user of an index to the next, so that an old token stays stale.
std::uint32_t sequences[kMaximumThreads];

std::uint32_t take_index() {
  if (first_free != 0) {
    const std::uint32_t index = first_free;
    first_free = next_free[index];
    return index;
  }
  if (thread_limit == 1) {
    no_thread.state = ThreadState::kEnded;
    thread_table[0] = &no_thread;
  }
  return thread_limit < kMaximumThreads ? thread_limit++ : 0;
}

void return_index(std::uint32_t index, std::uint32_t sequence) {
  thread_table[index] = &no_thread;
  sequences[index] = sequence;
  next_free[index] = static_cast<std::uint16_t>(first_free);
  first_free = index;
}

void unlink_from_domain(Thread& thread) {
  Domain& domain = *thread.domain;
  (thread.previous_in_domain != nullptr ? thread.previous_in_domain->next_in_domain
                                        : domain.threads) = thread.next_in_domain;
  if (thread.next_in_domain != nullptr) {
    thread.next_in_domain->previous_in_domain = thread.previous_in_domain;
  }
}

}  // namespace

Processor* standing_on(const Thread& thread) {
  Processor* processor = thread.processor;
  return processor != nullptr && processor->current == &thread ? processor : nullptr;
}

Thread* create_thread(Domain* payer, Domain* domain, bool bare) {
  auto* thread = static_cast<Thread*>(allocate_charged(*payer, sizeof(Thread)));
  if (thread == nullptr) {
    return nullptr;
  }
  void* vector_state = bare ? nullptr : allocate_charged(*payer, vector_state_size());
  const std::uint32_t index = bare || vector_state != nullptr ? take_index() : 0;
  if (index == 0) {
    if (vector_state != nullptr) {
      free_charged(*payer, vector_state, vector_state_size());
    }
    free_charged(*payer, thread, sizeof(Thread));
    return nullptr;
  }
  thread->type = ObjectType::kThread;
  thread->payer = payer;
  add_reference(payer);
  thread->domain = domain;
  add_reference(domain);
  thread->bare = bare;
  thread->state = ThreadState::kSuspended;
  thread->token = (std::uint64_t{index} << 32) | sequences[index];
  thread_table[index] = thread;
  thread->vector_state = vector_state;
  if (vector_state != nullptr) {
    reset_vector_state(vector_state);
  }
  thread->frame.cs = kUserCodeSelector;
  thread->frame.ss = kUserDataSelector;
  thread->frame.rflags = kUserFlags;
  thread->next_in_domain = domain->threads;
  if (domain->threads != nullptr) {
    domain->threads->previous_in_domain = thread;
  }
  domain->threads = thread;
  return thread;
}

void leave_port_queue(Thread& thread) {
  Port& port = *thread.port;
  if (thread.state == ThreadState::kWaiting) {
    Thread** link = &port.waiters;
    while (*link != &thread) {
      link = &(*link)->next;
    }
    *link = thread.next;
  } else {
    (thread.previous != nullptr ? thread.previous->next : port.first_sender) = thread.next;
    (thread.next != nullptr ? thread.next->previous : port.last_sender) = thread.previous;
  }
}

void end_thread(Thread& thread) {
  if (thread.state != ThreadState::kEnded) {
    switch (thread.state) {
      case ThreadState::kReady:
        remove_ready(thread);
        break;
      case ThreadState::kWaiting:
      case ThreadState::kCalling:
      case ThreadState::kFaultQueued:
        leave_port_queue(thread);
        break;
      default:
        break;
    }
    thread.state = ThreadState::kEnded;
    forget_user_state(thread);
    return_index(static_cast<std::uint32_t>(thread.token >> 32),
                 static_cast<std::uint32_t>(thread.token) + 1);
    unlink_from_domain(thread);
    evict_current(thread);
  }
  free_ended_thread(thread);
}

void free_ended_thread(Thread& thread) {
  if (thread.references != 0 || standing_on(thread) != nullptr) {
    return;
  }
  Domain* domain = thread.domain;
  Domain* payer = thread.payer;
  if (thread.vector_state != nullptr) {
    free_charged(*payer, thread.vector_state, vector_state_size());
  }
  free_charged(*payer, &thread, sizeof(Thread));
  drop_reference(payer);
  drop_reference(domain);
}

bool cancel_block(Thread& thread, abi::Status status) {
  switch (thread.state) {
    case ThreadState::kWaiting:
    case ThreadState::kCalling:
      leave_port_queue(thread);
      break;
    case ThreadState::kAwaitingReply:
      break;
    default:
      return false;
  }
  complete_system_call(thread, status);
  thread.frame.rbx = 0;
  make_ready(running_processor(), thread);
  return true;
}

Thread* thread_awaiting(std::uint64_t token, const Domain* domain) {
  const std::uint64_t index = token >> 32;
  if (index >= thread_limit) {
    return nullptr;
  }
  Thread* thread = thread_table[index];
  const bool waits =
      thread->state == ThreadState::kAwaitingReply || thread->state == ThreadState::kFaulted;
  return waits && thread->token == token && thread->replier == domain ? thread : nullptr;
}

void fail_replies_of(const Domain& domain) {
  for (std::uint32_t i = 1; i < thread_limit; ++i) {
    Thread& thread = *thread_table[i];
    if (thread.replier != &domain) {
      continue;
    }
    if (thread.state == ThreadState::kAwaitingReply) {
      cancel_block(thread, abi::Status::kPeerGone);
    } else if (thread.state == ThreadState::kFaulted) {
      end_thread(thread);
    }
  }
}

void complete_system_call(Thread& thread, abi::Status status) {
  Frame& frame = thread.frame;
  frame.rax = static_cast<std::uint64_t>(status);
  frame.rip = kSystemCallReturn;
  frame.cs = kUserCodeSelector;
  frame.rflags = kUserFlags;
  frame.ss = kUserDataSelector;
  // Fast IPC leaves kernel addresses in these.
  frame.rcx = frame.r11 = frame.rbp = frame.r15 = 0;
}

}  // namespace nucleus
