#pragma once

#include <cstdint>

// The nucleus's system calls.
//
// Registers on entry:  rax = SystemCall, rdi = capability slot, rbx = reply token,
//                      rsi rdx r8 r9 r10 r12 r13 r14 = message words m0 … m7.
// Registers on return: rax = Status, rdi = badge, rbx = reply token, the same message words.
// All general registers but rsp are overwritten; the caller's stub saves what its own ABI asks for.
// Flags are lost. Vector registers are never touched.
namespace abi {

inline constexpr unsigned kMessageWords = 8;

enum class SystemCall : std::uint64_t {
  // m0…m7 → the port's receiver; blocks until it replies. Needs kRightCall. The reply's words come
  // back in m0…m7. kPeerGone: the domain that took the call ended before it replied, or no
  // capability with kRightReceive is left, so that nobody can take it. Until then it waits.
  kCall = 0,
  // Answers token rbx with m0…m7 (0: answers nobody), then waits on port rdi (needs kRightReceive).
  // A bad token is ignored. Returns with rbx ≠ 0: a call, rdi = badge of the capability that it
  // came
  // through, m0…m7 its words. rbx = 0: a notification, m0 = the bits signalled since the last one.
  kReplyWait = 1,
  // Answers token rbx and goes on. kNotFound: nobody waits for that token.
  kReply = 2,
  // As kReplyWait with token 0, but returns kWouldBlock where it would wait.
  kPoll = 3,
  // ORs the capability's badge into the port's notification bits; never blocks. Needs kRightSignal.
  kSignal = 4,

  // rdi = a domain; copies the caller's capability m1 into that domain's free slot m0 with rights
  // (its own & m2), and with badge m3 where m3 ≠ kKeepBadge. Only an unbadged (0) port capability
  // takes a new badge.
  kCapabilityCopy = 5,
  // rdi = a domain; empties its slot m0. An object that no slot names any more ends.
  kCapabilityDelete = 6,

  // New domain into the caller's slot m0, with m1 capability slots (16 … 65536, a power of two) and
  // m2 pages of kernel memory taken from the caller's quota (0: it shares the caller's, which is
  // for
  // domains whose capabilities cannot spend any). Slot 1 of it is its own domain. m3 =
  // domain_limits(), cut down to the caller's own. It starts with the caller's fault port, and ends
  // with its caller's domain at the latest.
  kDomainCreate = 7,
  // rdi = a domain. Faults of its threads become calls through the caller's port capability m0 (its
  // badge says which domain), see Fault.
  kDomainSetFaultPort = 8,
  // Ends domain rdi: its threads stop, its mappings and capabilities go. The caller of one of its
  // pending replies gets kPeerGone. Needs kRightControl.
  kDomainEnd = 9,

  // New thread of domain rdi into the caller's slot m0 (0: nobody names it, and it lives until it
  // exits or its domain ends): starts at m1 with rsp = m2, rdi = m3 and all other registers 0.
  // m4 = thread_attributes(), within the caller's domain_limits(). Runs at once.
  kThreadCreate = 10,
  // rdi = thread, m0 = ThreadOperation, m1 its argument.
  kThreadControl = 11,
  // rdi = thread (suspended, or faulted and not yet answered), m0 = RegisterGroup → m1 … m6.
  kThreadRead = 12,
  // As kThreadRead; takes the words from m1 … m6. The thread then resumes with all its registers.
  kThreadWrite = 13,
  // rdi = thread (not running), or 0 for the caller: m0 = FS base, m1 = GS base, below kUserEnd.
  kThreadSetBases = 14,
  // Ends the calling thread. Does not return.
  kThreadExit = 15,
  // Lets other ready threads of the same priority run.
  kYield = 16,

  // New port into the caller's slot m0, all rights, badge 0.
  kPortCreate = 17,

  // New timer into the caller's slot m0; when due it signals through port capability rdi (its
  // badge).
  kTimerCreate = 18,
  // rdi = timer, m0 = absolute TSC (0: disarm). A past deadline is due at once.
  kTimerArm = 19,

  // rdi = region. New region into the caller's slot m0: bytes [m1, m1 + m2) of it, page-aligned,
  // with
  // rights (its own & m3). Likewise for I/O ports: ports [m1, m1 + m2), without alignment.
  kRegionCarve = 20,
  // rdi = domain: maps [m2, m2 + m3) of the caller's region m1 at virtual address m0 with
  // protection
  // m4 (kRightRead | kRightWrite | kRightExecute, within the region's). Whatever is mapped there is
  // replaced. Large pages are used where addresses and sizes allow.
  kMap = 21,
  // rdi = domain: unmaps [m0, m0 + m1). Holes are fine.
  kUnmap = 22,
  // rdi = domain: changes the protection of what is mapped in [m0, m0 + m1) to m2. Only ever
  // narrows
  // or restores within the rights of the region that was mapped.
  kProtect = 23,

  // rdi = interrupt control: GSI m1 into the caller's slot m0, m2 = InterruptTrigger, signalled
  // through the caller's port capability m3 (its badge). One interrupt object per GSI.
  kInterruptCreate = 24,
  // rdi = interrupt: a level-triggered line may fire again. Edge-triggered lines need none.
  kInterruptAcknowledge = 25,

  // rdi = machine (kRightControl): starts the processor with local APIC ID m0; returns its index in
  // m0
  // when it runs.
  kProcessorStart = 26,
  // rdi = I/O ports: m0 = port number, m1 = width in bytes (1, 2, 4), m2 = 1 to write m3, 0 to read
  // into m0.
  kPortAccess = 27,
  // m0 = InformationKind → m0 … m7.
  kInformation = 28,
  kCount
};

enum class Status : std::uint64_t {
  kOk = 0,
  kBadCapability,  // empty slot, slot out of range, or an object of another type
  kNoRight,
  kBadArgument,
  kNoMemory,  // the domain's kernel memory quota is used up
  kSlotInUse,
  kNotFound,
  kWouldBlock,
  kPeerGone,
  kBadState,
  kNoSuchCall,
};

// Rights of a capability. Their meaning depends on the object's type.
inline constexpr std::uint64_t kRightRead = 1;     // region, I/O ports; machine: information
inline constexpr std::uint64_t kRightWrite = 2;    // region, I/O ports
inline constexpr std::uint64_t kRightExecute = 4;  // region
inline constexpr std::uint64_t kRightCall = 1;     // port
inline constexpr std::uint64_t kRightReceive = 2;  // port
inline constexpr std::uint64_t kRightSignal = 4;   // port
inline constexpr std::uint64_t kRightMap = 1;      // domain: map, unmap, protect
inline constexpr std::uint64_t kRightThreads = 2;  // domain: create threads
inline constexpr std::uint64_t kRightGrant = 4;    // domain: put capabilities in, take them out
inline constexpr std::uint64_t kRightControl = 8;  // domain: end, fault port. Thread: all
                                                   // operations. Machine: start processors
inline constexpr std::uint64_t kAllRights = 15;

inline constexpr std::uint64_t kKeepBadge = ~std::uint64_t{0};

// Slots that every domain starts with.
inline constexpr std::uint64_t kSelfSlot = 1;

// kThreadCreate's m4. A thread with `bare` set uses no vector registers and no FS or GS base, so
// that switching to it leaves the previous thread's in place: quicker, but it could look at them,
// so its creator must trust it with them. `processor`: index of the processor it is tied to, or
// kAnyProcessor (bare threads only): it runs where it is woken or called from.
inline constexpr std::uint64_t kAnyProcessor = 0xff;
inline constexpr unsigned kPriorities = 32;  // 0 is lowest
constexpr std::uint64_t thread_attributes(std::uint64_t priority, std::uint64_t processor,
                                          bool bare) {
  return priority | (processor << 8) | (std::uint64_t{bare} << 16);
}

// kDomainCreate's m3: the highest priority that the domain may give to threads, and whether it may
// make bare ones.
constexpr std::uint64_t domain_limits(std::uint64_t highest_priority, bool bare) {
  return highest_priority | (std::uint64_t{bare} << 8);
}

enum class ThreadOperation : std::uint64_t {
  kSuspend = 0,
  kResume = 1,
  kEnd = 2,
  kSetPriority = 3,
  kSetProcessor = 4,
  // A call or wait that the thread is blocked in ends with kWouldBlock.
  kCancel = 5,
};

enum class RegisterGroup : std::uint64_t {
  kControl = 0,  // rip rsp rflags fs_base gs_base 0
  kFirst = 1,    // rax rbx rcx rdx rsi rdi
  kSecond = 2,   // rbp r8 r9 r10 r11 r12
  kThird = 3,    // r13 r14 r15 0 0 0
};

enum class InterruptTrigger : std::uint64_t { kEdgeRising = 1, kLevelHigh = 4 };

enum class InformationKind : std::uint64_t {
  kMachine = 0,  // rdi = machine (kRightRead) → processors running, flags (kMachineInterpreted),
                 // free kernel pages, total pages
  kProcessor = 1,  // rdi = machine (kRightRead), m1 = index → apic id, switches, interrupts, system
                   // calls (without fast IPC), idle TSC
  kDomain = 2,  // rdi = domain → kernel memory used, its quota, threads, slots, tables
  kThread = 3,  // rdi = thread → state, processor, thread id
};
// Ring 0 is interpreted by this KVM: enter it rarely.
inline constexpr std::uint64_t kMachineInterpreted = 1;

// A fault arrives at the domain's fault port as a call: m0 = kFaultMessage | vector, m1 = error
// code, m2 = fault address (page fault: CR2), m3 = rip, m4 = rsp, m5 = rflags, m6 = thread id. The
// badge is the fault port capability's. The reply's m0 says what becomes of the thread.
inline constexpr std::uint64_t kFaultMessage = 0xfa17'0000;
enum class FaultReply : std::uint64_t { kRetry = 0, kEnd = 1 };

}  // namespace abi
