#pragma once

#include <array>
#include <cstdint>
#include <expected>

#include "guest-kernel/abi/system_call.h"

// Typed calls into the nucleus. Each function is one entry into ring 0.
namespace guest {

// Index of a capability in the calling domain's table. 0 names none.
using Slot = std::uint64_t;
using Status = abi::Status;
template <typename T>
using Result = std::expected<T, Status>;

inline constexpr Slot kNoSlot = 0;

struct Message {
  std::array<std::uint64_t, abi::kMessageWords> word{};

  std::uint64_t& operator[](std::size_t index) { return word[index]; }
  const std::uint64_t& operator[](std::size_t index) const { return word[index]; }
};

// What the stub loads into registers and stores back. The order is known to system_call.S.
struct SystemCallFrame {
  std::uint64_t selector;  // in: SystemCall; out: Status
  std::uint64_t slot;      // in: capability; out: badge
  std::uint64_t token;
  Message message;
};

extern "C" void guest_system_call(SystemCallFrame* frame);

// What a port's receiver got: a call, to be answered by `token`, or (token 0) a notification.
struct Received {
  std::uint64_t token;
  std::uint64_t badge;
  Message message;

  bool is_notification() const { return token == 0; }
  // Bits signalled since the last notification.
  std::uint64_t signals() const { return message[0]; }
};

// Sends `message` to the port's receiver and blocks until the answer replaces it.
Status call(Slot port, Message& message);
// Answers the caller behind `token` and goes on.
Status reply(std::uint64_t token, const Message& message);
// Ors the capability's badge into the port's notification bits; never blocks.
Status signal(Slot port);

// The receiving end of a port.
class Receiver {
 public:
  explicit Receiver(Slot port) : port_(port) {}

  Slot port() const { return port_; }
  // Blocks for the next call or notification.
  Result<Received> wait() const;
  // Answers `token` and waits, in one entry.
  Result<Received> reply_and_wait(std::uint64_t token, const Message& answer) const;
  // kWouldBlock if nothing is there.
  Result<Received> poll() const;

 private:
  Slot port_;
};

// Copies own capability `from` into `domain`'s free slot `to`, with at most `rights`.
Status copy_capability(Slot domain, Slot to, Slot from, std::uint64_t rights = abi::kAllRights,
                       std::uint64_t badge = abi::kKeepBadge);
Status delete_capability(Slot domain, Slot slot);

// What threads a domain may make. Unless told otherwise it makes ordinary ones of a priority up to
// the applications' (start_info.h).
struct DomainLimits {
  std::uint64_t highest_priority = 8;
  bool bare = false;
};

// Creates a domain with `slots` capability slots (a power of two, 16 … 65536) and a quota of
// `kernel_pages` out of the caller's.
Status create_domain(Slot to, std::uint64_t slots, std::uint64_t kernel_pages,
                     DomainLimits limits = {});
// Faults of the domain's threads become calls through `port`.
Status set_fault_port(Slot domain, Slot port);
Status end_domain(Slot domain);

struct ThreadStart {
  std::uint64_t entry;
  std::uint64_t stack;     // rsp
  std::uint64_t argument;  // rdi
  std::uint64_t priority;
  std::uint64_t processor = 0;
  bool bare = false;
};
// The thread runs at once.
Status create_thread(Slot to, Slot domain, const ThreadStart& start);
Status control_thread(Slot thread, abi::ThreadOperation operation, std::uint64_t argument = 0);
// A group of six registers; unused ones read as zero.
using RegisterWords = std::array<std::uint64_t, 6>;
Result<RegisterWords> read_thread(Slot thread, abi::RegisterGroup group);
Status write_thread(Slot thread, abi::RegisterGroup group, const RegisterWords& words);
// kNoSlot: the calling thread.
Status set_thread_bases(Slot thread, std::uint64_t fs_base, std::uint64_t gs_base);
[[noreturn]] void exit_thread();
void yield();

Status create_port(Slot to);
Status create_timer(Slot to, Slot port);
// `deadline`: absolute TSC; 0 disarms.
Status arm_timer(Slot timer, std::uint64_t deadline);

// New region in slot `to`: bytes [offset, offset + size) of `region`.
Status carve(Slot to, Slot region, std::uint64_t offset, std::uint64_t size,
             std::uint64_t rights = abi::kAllRights);
// Maps [offset, offset + size) of own region `region` at `address` in `domain`.
Status map(Slot domain, std::uint64_t address, Slot region, std::uint64_t offset,
           std::uint64_t size, std::uint64_t protection);
Status unmap(Slot domain, std::uint64_t address, std::uint64_t size);
Status protect(Slot domain, std::uint64_t address, std::uint64_t size, std::uint64_t protection);

Status create_interrupt(Slot to, Slot interrupts, std::uint64_t gsi, abi::InterruptTrigger trigger,
                        Slot port);
Status acknowledge_interrupt(Slot interrupt);
// Returns the new processor's index.
Result<std::uint64_t> start_processor(Slot machine, std::uint64_t apic_id);
Status write_port(Slot ports, std::uint16_t port, unsigned width, std::uint32_t value);
Result<std::uint32_t> read_port(Slot ports, std::uint16_t port, unsigned width);
// `argument` goes in m1; `subject` in rdi (a domain or thread, where the kind has one).
Result<Message> information(abi::InformationKind kind, std::uint64_t argument = 0,
                            Slot subject = kNoSlot);

// Name of a status for messages.
const char* status_name(Status status);

}  // namespace guest
