#pragma once

#include <cstdint>

#include "guest-kernel/abi/system_call.h"
#include "guest-kernel/nucleus/thread.h"
#include "processor.h"

// System calls, carried out under the kernel lock. There are two kinds. Most take up to six words
// and answer with a status: they get the words in registers and need no frame (entry.S,
// register_call). Those that move messages or answer with words work on the caller's frame.
namespace nucleus {

struct Port;
struct Region;
struct Timer;
struct Interrupt;

// The domain that makes the running system call.
inline Domain& calling_domain() {
  return *running_processor().current->domain;
}

// Register calls: rdi, then m0 … m4. The caller may not be running any more when they return.
using RegisterCall = abi::Status (*)(std::uint64_t slot, std::uint64_t word0, std::uint64_t word1,
                                     std::uint64_t word2, std::uint64_t word3, std::uint64_t word4);

// calls_capability.cc
abi::Status capability_copy(std::uint64_t domain, std::uint64_t to, std::uint64_t from,
                            std::uint64_t rights, std::uint64_t badge, std::uint64_t);
abi::Status capability_delete(std::uint64_t domain, std::uint64_t from, std::uint64_t,
                              std::uint64_t, std::uint64_t, std::uint64_t);
// calls_domain.cc
abi::Status domain_create(std::uint64_t, std::uint64_t to, std::uint64_t slots, std::uint64_t pages,
                          std::uint64_t, std::uint64_t);
abi::Status domain_set_fault_port(std::uint64_t domain, std::uint64_t port, std::uint64_t,
                                  std::uint64_t, std::uint64_t, std::uint64_t);
abi::Status domain_end(std::uint64_t domain, std::uint64_t, std::uint64_t, std::uint64_t,
                       std::uint64_t, std::uint64_t);
// calls_event.cc
abi::Status signal(std::uint64_t port, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t,
                   std::uint64_t);
abi::Status port_create(std::uint64_t, std::uint64_t to, std::uint64_t, std::uint64_t,
                        std::uint64_t, std::uint64_t);
abi::Status timer_create(std::uint64_t port, std::uint64_t to, std::uint64_t, std::uint64_t,
                         std::uint64_t, std::uint64_t);
abi::Status timer_arm(std::uint64_t timer, std::uint64_t deadline, std::uint64_t, std::uint64_t,
                      std::uint64_t, std::uint64_t);
abi::Status interrupt_create(std::uint64_t control, std::uint64_t to, std::uint64_t gsi,
                             std::uint64_t trigger, std::uint64_t port, std::uint64_t);
abi::Status interrupt_acknowledge(std::uint64_t interrupt, std::uint64_t, std::uint64_t,
                                  std::uint64_t, std::uint64_t, std::uint64_t);
// calls_thread.cc
abi::Status thread_create(std::uint64_t domain, std::uint64_t to, std::uint64_t rip,
                          std::uint64_t rsp, std::uint64_t argument, std::uint64_t attributes);
abi::Status thread_control(std::uint64_t thread, std::uint64_t operation, std::uint64_t argument,
                           std::uint64_t, std::uint64_t, std::uint64_t);
abi::Status thread_set_bases(std::uint64_t thread, std::uint64_t fs, std::uint64_t gs,
                             std::uint64_t, std::uint64_t, std::uint64_t);
abi::Status thread_exit(std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t,
                        std::uint64_t);
abi::Status yield(std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t,
                  std::uint64_t);
// calls_memory.cc
abi::Status region_carve(std::uint64_t region, std::uint64_t to, std::uint64_t offset,
                         std::uint64_t size, std::uint64_t rights, std::uint64_t);
abi::Status map(std::uint64_t domain, std::uint64_t address, std::uint64_t region,
                std::uint64_t offset, std::uint64_t size, std::uint64_t rights);
abi::Status unmap(std::uint64_t domain, std::uint64_t address, std::uint64_t size, std::uint64_t,
                  std::uint64_t, std::uint64_t);
abi::Status protect(std::uint64_t domain, std::uint64_t address, std::uint64_t size,
                    std::uint64_t rights, std::uint64_t, std::uint64_t);

// A call that works on the caller's frame.
struct FrameCall {
  Processor& processor;
  Thread& thread;
  Domain& domain;
  Frame& frame;
};

// What a frame call's handler returns: a status for the caller, or that the frame needs no more
// (the caller blocks, or the handler has completed it).
struct Outcome {
  Outcome(abi::Status value) : status(value), done(false) {}  // NOLINT: the usual outcome
  static Outcome frame_is_complete() {
    Outcome outcome(abi::Status::kOk);
    outcome.done = true;
    return outcome;
  }
  abi::Status status;
  bool done;
};

// calls_ipc.cc
Outcome call(FrameCall&);
Outcome reply_wait(FrameCall&);
Outcome reply_only(FrameCall&);
Outcome poll(FrameCall&);
// calls_thread.cc
Outcome thread_read(FrameCall&);
Outcome thread_write(FrameCall&);
// calls_machine.cc
Outcome processor_start(FrameCall&);
Outcome port_access(FrameCall&);
Outcome information(FrameCall&);

// The capability in a slot, if it is of that type and has all of `rights`. Otherwise nullptr, and
// `status` says why.
const Slot* check_slot(const Domain& domain, std::uint64_t number, ObjectType type,
                       std::uint64_t rights, abi::Status& status);

// A slot that is there and empty; likewise.
Slot* find_free_slot(Domain& domain, std::uint64_t number, abi::Status& status);

// Names a new object in the slot, with all rights. `object` is null where memory ran out.
abi::Status deliver(Slot& slot, Object* object);

template <typename T>
struct TypeOf;
template <>
struct TypeOf<Domain> {
  static constexpr ObjectType kValue = ObjectType::kDomain;
};
template <>
struct TypeOf<Thread> {
  static constexpr ObjectType kValue = ObjectType::kThread;
};
template <>
struct TypeOf<Port> {
  static constexpr ObjectType kValue = ObjectType::kPort;
};
template <>
struct TypeOf<Timer> {
  static constexpr ObjectType kValue = ObjectType::kTimer;
};
template <>
struct TypeOf<Interrupt> {
  static constexpr ObjectType kValue = ObjectType::kInterrupt;
};

template <typename T>
T* find(const Domain& domain, std::uint64_t number, std::uint64_t rights, abi::Status& status) {
  const Slot* found = check_slot(domain, number, TypeOf<T>::kValue, rights, status);
  return found != nullptr ? static_cast<T*>(found->object()) : nullptr;
}

}  // namespace nucleus
