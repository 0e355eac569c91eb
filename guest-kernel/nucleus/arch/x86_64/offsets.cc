// Checks what assembly code believes of the C++ types.
#include "offsets.h"

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/nucleus/port.h"
#include "instructions.h"
#include "local_apic.h"
#include "page_table.h"
#include "processor.h"

#pragma GCC diagnostic ignored "-Winvalid-offsetof"

namespace nucleus {

#define CHECK_OFFSET(type, member, value) static_assert(__builtin_offsetof(type, member) == (value))

CHECK_OFFSET(Thread, frame, THREAD_FRAME);
CHECK_OFFSET(Thread, frame.rip, THREAD_RIP);
CHECK_OFFSET(Thread, frame.rsp, THREAD_RSP);
CHECK_OFFSET(Thread, processor, THREAD_PROCESSOR);
static_assert(THREAD_FRAME + sizeof(Frame) == THREAD_FRAME_END);
CHECK_OFFSET(Thread, domain, THREAD_DOMAIN);
CHECK_OFFSET(Thread, pinned, THREAD_PINNED);
CHECK_OFFSET(Thread, next, THREAD_NEXT);
CHECK_OFFSET(Thread, port, THREAD_PORT);
CHECK_OFFSET(Thread, replier, THREAD_REPLIER);
CHECK_OFFSET(Thread, token, THREAD_TOKEN);
CHECK_OFFSET(Thread, state, THREAD_STATE);
CHECK_OFFSET(Thread, bare, THREAD_BARE);
CHECK_OFFSET(Thread, suspend_requested, THREAD_BARE + 1);
CHECK_OFFSET(Thread, priority, THREAD_PRIORITY);
CHECK_OFFSET(Thread, fs_base, THREAD_FS_BASE);
CHECK_OFFSET(Thread, gs_base, THREAD_GS_BASE);
CHECK_OFFSET(Thread, vector_state, THREAD_VECTOR_STATE);
static_assert(kMsrFsBase == MSR_FS_BASE && kMsrGsBase == MSR_FS_BASE + 1);
CHECK_OFFSET(Processor, ready_priorities, PROCESSOR_READY_PRIORITIES);
CHECK_OFFSET(Processor, descriptors, PROCESSOR_GATE_FRAME_END);
CHECK_OFFSET(Domain, page_table, DOMAIN_PAGE_TABLE);
CHECK_OFFSET(Domain, slots, DOMAIN_SLOTS);
CHECK_OFFSET(Domain, slot_count, DOMAIN_SLOT_COUNT);
CHECK_OFFSET(Port, waiters, PORT_WAITERS);
CHECK_OFFSET(Port, first_sender, PORT_SENDERS);
CHECK_OFFSET(Port, bits, PORT_BITS);
CHECK_OFFSET(Processor, current, PROCESSOR_CURRENT);
CHECK_OFFSET(Processor, stack_top, PROCESSOR_STACK_TOP);
CHECK_OFFSET(Processor, space, PROCESSOR_SPACE);
CHECK_OFFSET(Processor, user_owner, PROCESSOR_USER_OWNER);
CHECK_OFFSET(Processor, user_rsp, PROCESSOR_USER_RSP);
CHECK_OFFSET(Processor, task_state.rsp0, PROCESSOR_TSS_RSP0);
CHECK_OFFSET(Processor, reschedule, PROCESSOR_RESCHEDULE);
CHECK_OFFSET(Processor, system_calls, PROCESSOR_SYSTEM_CALLS);
static_assert(sizeof(Processor) < 2048);
static_assert(static_cast<unsigned>(abi::SystemCall::kCount) == SYSTEM_CALL_COUNT);
static_assert(kProcessorBlockSize == PROCESSOR_BLOCK_SIZE);
static_assert(static_cast<unsigned>(ThreadState::kRunning) == STATE_RUNNING);
static_assert(static_cast<unsigned>(ThreadState::kWaiting) == STATE_WAITING);
static_assert(static_cast<unsigned>(ThreadState::kAwaitingReply) == STATE_AWAITING_REPLY);
static_assert(static_cast<unsigned>(ObjectType::kPort) == (SLOT_CALLABLE_PORT & 0xff));
static_assert((abi::kRightCall << 8 | 3) == SLOT_CALLABLE_PORT);
static_assert((abi::kRightReceive << 8 | 3) == SLOT_RECEIVABLE_PORT);
static_assert(abi::kSystemCallEntry + 2 == ENTRY_RETURN);
static_assert(abi::kForeignEntry == FOREIGN_ENTRY);
static_assert(abi::kEntryPage + 0x200 == EXCHANGE_ENTRY);
static_assert(kPoolWindow == std::uint64_t{1} << POOL_WINDOW_BIT);
static_assert(abi::kForeignHandler == abi::kEntryPage - 0x1000);
static_assert(kVectorCount == FIRST_STUB_VECTORS);
static_assert(kUserFlags == USER_FLAGS && kUserCodeSelector == USER_CODE_SELECTOR &&
              kUserDataSelector == USER_DATA_SELECTOR);

}  // namespace nucleus
