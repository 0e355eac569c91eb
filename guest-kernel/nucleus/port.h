#pragma once

#include <cstdint>

#include "guest-kernel/nucleus/domain.h"
#include "guest-kernel/nucleus/thread.h"

namespace nucleus {

// Where calls and notifications arrive. Either threads wait here, or calls are queued, never both.
struct Port : Object {
  Thread* waiters = nullptr;       // last in, first out: the warmest first
  Thread* first_sender = nullptr;  // first in, first out
  Thread* last_sender = nullptr;
  std::uint64_t bits = 0;       // notifications not yet received
  std::uint64_t receivers = 0;  // capabilities with kRightReceive; without any, nobody may call
};

// The capability that a kernel object signals through: a port and the badge to OR in.
struct Signal {
  Port* port = nullptr;  // holds a reference
  std::uint64_t badge = 0;
};

Port* create_port(Domain* payer);
// Those who wait for somebody at the port learn that nobody will come.
void end_port(Port& port);

// `caller` is the running thread; its frame holds the call. Blocks it, or returns kPeerGone to it.
void call_port(Processor& processor, Thread& caller, Port& port, std::uint64_t badge);

// The running thread has faulted: its frame says how. Blocks it, or ends it if nobody takes faults.
void raise_fault(Processor& processor, Thread& thread);

// The running thread receives from `port` into its frame, or blocks (`wait`) or gets kWouldBlock.
void receive(Thread& receiver, Port& port, bool wait);

// Answers the thread that waits for `token` with the message in `replier`'s frame.
abi::Status reply(Processor& processor, Thread& replier, std::uint64_t token);

void signal_port(Processor& processor, Port& port, std::uint64_t bits);

}  // namespace nucleus
