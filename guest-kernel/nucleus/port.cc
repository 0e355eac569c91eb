#include "guest-kernel/nucleus/port.h"

#include "guest-kernel/nucleus/kernel_memory.h"
#include "guest-kernel/nucleus/panic.h"
#include "guest-kernel/nucleus/scheduler.h"
#include "processor.h"

namespace nucleus {
namespace {

using abi::Status;

void copy_message(Frame& to, const Frame& from) {
  to.rsi = from.rsi;
  to.rdx = from.rdx;
  to.r8 = from.r8;
  to.r9 = from.r9;
  to.r10 = from.r10;
  to.r12 = from.r12;
  to.r13 = from.r13;
  to.r14 = from.r14;
}

void describe_fault(Frame& to, const Thread& faulted) {
  to.rsi = abi::kFaultMessage | faulted.frame.vector;
  to.rdx = faulted.frame.error_code;
  to.r8 = faulted.fault_address;
  to.r9 = faulted.frame.rip;
  to.r10 = faulted.frame.rsp;
  to.r12 = faulted.frame.rflags;
  to.r13 = faulted.token >> 32;
  to.r14 = 0;
}

// The receiver's system call returns with the call of `sender`, which then waits for the reply.
void hand_over(Thread& sender, Thread& receiver, bool fault, std::uint64_t badge) {
  complete_system_call(receiver, Status::kOk);
  if (fault) {
    describe_fault(receiver.frame, sender);
  } else {
    copy_message(receiver.frame, sender.frame);
  }
  sender.token =
      (sender.token & ~std::uint64_t{0xffff'ffff}) | static_cast<std::uint32_t>(sender.token + 1);
  sender.replier = receiver.domain;
  sender.state = fault ? ThreadState::kFaulted : ThreadState::kAwaitingReply;
  receiver.frame.rdi = badge;
  receiver.frame.rbx = sender.token;
}

Thread* take_waiter(Port& port) {
  Thread* waiter = port.waiters;
  if (waiter != nullptr) {
    port.waiters = waiter->next;
  }
  return waiter;
}

void send(Processor& processor, Thread& sender, Port& port, std::uint64_t badge, bool fault) {
  if (Thread* receiver = take_waiter(port)) {
    hand_over(sender, *receiver, fault, badge);
    make_ready(processor, *receiver);
    return;
  }
  sender.state = fault ? ThreadState::kFaultQueued : ThreadState::kCalling;
  sender.call_badge = badge;
  sender.port = &port;
  sender.next = nullptr;
  sender.previous = port.last_sender;
  (port.last_sender != nullptr ? port.last_sender->next : port.first_sender) = &sender;
  port.last_sender = &sender;
}

void deliver_bits(Thread& receiver, std::uint64_t bits) {
  complete_system_call(receiver, Status::kOk);
  Frame& frame = receiver.frame;
  frame.rsi = bits;
  frame.rdi = 0;
  frame.rbx = 0;
  frame.rdx = frame.r8 = frame.r9 = frame.r10 = frame.r12 = frame.r13 = frame.r14 = 0;
}

}  // namespace

Port* create_port(Domain* payer) {
  auto* port = static_cast<Port*>(allocate_charged(*payer, sizeof(Port)));
  if (port != nullptr) {
    port->type = ObjectType::kPort;
    port->payer = payer;
    add_reference(payer);
  }
  return port;
}

void end_port(Port& port) {
  while (port.waiters != nullptr) {
    cancel_block(*port.waiters, Status::kPeerGone);
  }
  while (Thread* sender = port.first_sender) {
    if (sender->state == ThreadState::kFaultQueued) {
      end_thread(*sender);
    } else {
      cancel_block(*sender, Status::kPeerGone);
    }
  }
}

void call_port(Processor& processor, Thread& caller, Port& port, std::uint64_t badge) {
  if (port.receivers == 0) {
    complete_system_call(caller, Status::kPeerGone);
    return;
  }
  send(processor, caller, port, badge, false);
}

void raise_fault(Processor& processor, Thread& thread) {
  Domain& domain = *thread.domain;
  if (domain.fault_port == nullptr || domain.fault_port->receivers == 0) {
    report_unhandled_fault(thread);
    end_thread(thread);
    return;
  }
  send(processor, thread, *domain.fault_port, domain.fault_badge, true);
}

void receive(Thread& receiver, Port& port, bool wait) {
  if (port.bits != 0) {
    deliver_bits(receiver, port.bits);
    port.bits = 0;
    return;
  }
  if (Thread* sender = port.first_sender) {
    const bool fault = sender->state == ThreadState::kFaultQueued;
    leave_port_queue(*sender);
    hand_over(*sender, receiver, fault, sender->call_badge);
    return;
  }
  if (!wait) {
    complete_system_call(receiver, Status::kWouldBlock);
    receiver.frame.rbx = 0;
    return;
  }
  receiver.state = ThreadState::kWaiting;
  receiver.port = &port;
  receiver.next = port.waiters;
  port.waiters = &receiver;
}

Status reply(Processor& processor, Thread& replier, std::uint64_t token) {
  Thread* caller = thread_awaiting(token, replier.domain);
  if (caller == nullptr) {
    return Status::kNotFound;
  }
  if (caller->state == ThreadState::kFaulted) {
    // `iretq` to a non-canonical address would fault in ring 0.
    if (replier.frame.rsi == static_cast<std::uint64_t>(abi::FaultReply::kEnd) ||
        caller->frame.rip >= abi::kUserEnd) {
      end_thread(*caller);
      return Status::kOk;
    }
  } else {
    complete_system_call(*caller, Status::kOk);
    copy_message(caller->frame, replier.frame);
    caller->frame.rdi = 0;
    caller->frame.rbx = 0;
  }
  make_ready(processor, *caller);
  return Status::kOk;
}

void signal_port(Processor& processor, Port& port, std::uint64_t bits) {
  if (Thread* waiter = take_waiter(port)) {
    deliver_bits(*waiter, port.bits | bits);
    port.bits = 0;
    make_ready(processor, *waiter);
    return;
  }
  port.bits |= bits;
}

}  // namespace nucleus
