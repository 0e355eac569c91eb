// The ways into the nucleus and out of it, and fast IPC.
//
// On entry from ring 3 the running thread's Frame takes its state: TSS.RSP0 points at the frame's end,
// so gates push rip … ss into it. Instructions that differ between hardware and interpreted ring 0 are
// listed in .patch_table and replaced once at boot (probe_and_patch()).

#include "offsets.h"

// `swapgs` on hardware, where the system-call entry needs a processor pointer in GS. Interpreted ring 0
// does without, and gets a `nop` of the same length.
	.macro ENTER_OR_LEAVE_USER_GS
777:	swapgs
	.pushsection .patch_table, "a"
	.quad 777b, 0
	.popsection
	.endm

// Continues here on hardware; on interpreted ring 0 jumps to `target`. Takes 5 bytes.
	.macro HARDWARE_ELSE target
777:	.byte 0x0f, 0x1f, 0x44, 0x00, 0x00
	.pushsection .patch_table, "a"
	.quad 777b, \target
	.popsection
	.endm

	.macro PUSH_REGISTERS
	push %rax
	push %rbx
	push %rcx
	push %rdx
	push %rsi
	push %rdi
	push %rbp
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	.endm

	.macro LOCK_OR target
	mov $1, %r11d
	xchg %r11d, kernel_lock_word(%rip)
	test %r11d, %r11d
	jnz \target
	.endm

	.text

// `syscall` on hardware: rcx = return address, r11 = flags, rsp = the user's, IF off.
	.global hardware_system_call
	.align 16
hardware_system_call:
	swapgs
	cmp entry_return(%rip), %rcx
	jne foreign_system_call
	mov %gs:PROCESSOR_CURRENT, %rbp
	mov %rsp, THREAD_RSP(%rbp)
	test %eax, %eax
	jz fast_call
	cmp $1, %eax
	je fast_reply_wait

// rbp = thread, whose frame holds its rsp already; the words are as the caller set them. A register
// call gets them as C++ arguments, on the kernel stack, and returns without a frame in most cases.
slow_system_call:
	cld
	cmp $SYSTEM_CALL_COUNT, %rax
	jae frame_call
	cmpq $0, register_calls(,%rax,8)
	je frame_call
	LOCK_OR frame_call                      // which waits for the lock
	mov register_calls(,%rax,8), %r12
	mov THREAD_PROCESSOR(%rbp), %rbx
	mov PROCESSOR_STACK_TOP(%rbx), %rsp
	mov %r8, %rcx
	mov %r9, %r8
	mov %r10, %r9
	call *%r12
	incq PROCESSOR_SYSTEM_CALLS(%rbx)
	cmpb $0, PROCESSOR_RESCHEDULE(%rbx)
	jne register_call_switch
	cmpl $STATE_RUNNING, THREAD_STATE(%rbp)
	jne register_call_switch
	mov %rbp, %r15
	movl $0, kernel_lock_word(%rip)
	xor %ebp, %ebp
	xor %ebx, %ebx
	xor %esi, %esi
	xor %edi, %edi
	xor %edx, %edx
	xor %r8d, %r8d
	xor %r9d, %r9d
	xor %r10d, %r10d
	xor %r12d, %r12d
	HARDWARE_ELSE fast_exit_interpreted
	jmp fast_exit

register_call_switch:
	mov %rbp, %rdi
	mov %eax, %esi
	call register_call_reschedule
	jmp resume

frame_call:
	lea THREAD_FRAME_END(%rbp), %rsp
	push $USER_DATA_SELECTOR
	sub $8, %rsp
	push $USER_FLAGS
	push $USER_CODE_SELECTOR
	push entry_return(%rip)
	sub $16, %rsp
	PUSH_REGISTERS
	mov %rbp, %rdi
	mov THREAD_PROCESSOR(%rbp), %rax
	mov PROCESSOR_STACK_TOP(%rax), %rsp
	call frame_call_entry
	jmp resume

// A program's own `syscall`: back to ring 3 at abi::kForeignEntry with nothing changed.
foreign_system_call:
	mov %rsp, %gs:PROCESSOR_USER_RSP
	mov %gs:PROCESSOR_STACK_TOP, %rsp
	push $USER_DATA_SELECTOR
	push %gs:PROCESSOR_USER_RSP
	push %r11
	push $USER_CODE_SELECTOR
	push foreign_entry(%rip)
	swapgs
	iretq

// `int3` on interpreted ring 0: a system call if it comes from the entry page, else a breakpoint. The
// gate has already stored rip … ss in the frame.
	.global interpreted_system_call
	.align 16
interpreted_system_call:
	cmpl $ENTRY_RETURN_LOW, (%rsp)
	jne 1f
	cmpl $ENTRY_RETURN_HIGH, 4(%rsp)
	jne 1f
	lea -THREAD_RIP(%rsp), %rbp
	test %eax, %eax
	jz fast_call
	cmp $1, %eax
	jne slow_system_call
	jmp fast_reply_wait
1:	push %rax
	mov %cr3, %rax
	cmp $(boot_page_table - KERNEL_BASE), %rax  // no program runs on it
	pop %rax
	je exchange_landing
	push $0
	push $3
	jmp trap_common

// Fast IPC: what is in the message registers stays there. Scratch: rax rcx r11 rdi rbx rbp r15.
// rbp = caller, rdi = port slot. Everything is checked before anything is changed, so that the slow
// path can start over. Kernel lock held between LOCK_OR and the release in fast_switch.
	.global fast_call
fast_call:
	LOCK_OR slow_call
	mov THREAD_DOMAIN(%rbp), %rcx
	cmp DOMAIN_SLOT_COUNT(%rcx), %rdi
	jae unlock_slow_call
	mov DOMAIN_SLOTS(%rcx), %r11
	mov %rdi, %rax
	shl $4, %rax
	add %rax, %r11
	mov (%r11), %rbx
	mov %rbx, %rax
	shr $48, %rax
	and $SLOT_CALLABLE_PORT_MASK, %eax
	cmp $SLOT_CALLABLE_PORT, %eax
	jne unlock_slow_call
	shl $16, %rbx
	sar $16, %rbx                           // rbx = port
	mov PORT_WAITERS(%rbx), %r15            // r15 = receiver
	test %r15, %r15
	jz unlock_slow_call
	mov THREAD_PROCESSOR(%rbp), %rcx        // rcx = processor
	mov THREAD_PINNED(%r15), %rax
	test %rax, %rax
	jz 1f
	cmp %rcx, %rax
	jne unlock_slow_call
1:	cmpw $1, THREAD_BARE(%r15)              // bare, and not to be suspended
	je 2f
	cmpw $0, THREAD_BARE(%r15)
	jne unlock_slow_call
	cmp %r15, PROCESSOR_USER_OWNER(%rcx)
	jne unlock_slow_call
2:	bsr PROCESSOR_READY_PRIORITIES(%rcx), %eax
	jz 3f                                   // nobody else wants this processor
	cmp THREAD_PRIORITY(%r15), %al
	jae unlock_slow_call
3:	mov 8(%r11), %rdi                       // badge
	mov THREAD_NEXT(%r15), %rax
	mov %rax, PORT_WAITERS(%rbx)
	incl THREAD_TOKEN(%rbp)
	mov THREAD_TOKEN(%rbp), %rbx            // reply token
	movl $STATE_AWAITING_REPLY, THREAD_STATE(%rbp)
	mov THREAD_DOMAIN(%r15), %rax
	mov %rax, THREAD_REPLIER(%rbp)

// rcx = processor, r15 = thread to run, rax = its domain.
fast_switch:
	movl $STATE_RUNNING, THREAD_STATE(%r15)
	mov %rcx, THREAD_PROCESSOR(%r15)
	mov %r15, PROCESSOR_CURRENT(%rcx)
	lea THREAD_FRAME_END(%r15), %r11
	mov %r11, PROCESSOR_TSS_RSP0(%rcx)
	cmp %rax, PROCESSOR_SPACE(%rcx)
	je 3f
	mov %rax, PROCESSOR_SPACE(%rcx)
	mov DOMAIN_PAGE_TABLE(%rax), %r11
	mov %r11, %cr3
3:	movl $0, kernel_lock_word(%rip)
	xor %eax, %eax
	xor %ebp, %ebp
	HARDWARE_ELSE fast_exit_interpreted
fast_exit:
	mov THREAD_RSP(%r15), %rsp
	mov entry_return(%rip), %rcx
	mov $USER_FLAGS, %r11d
	xor %r15d, %r15d
	swapgs
	.global fast_exit_hardware
fast_exit_hardware:
	sysretq
fast_exit_interpreted:
	lea THREAD_RIP(%r15), %rsp
	xor %r15d, %r15d
	xor %r11d, %r11d
	xor %ecx, %ecx
	iretq

unlock_slow_call:
	movl $0, kernel_lock_word(%rip)
slow_call:
	xor %eax, %eax
	jmp slow_system_call

// rbp = replier, rbx = token, rdi = port slot.
	.global fast_reply_wait
fast_reply_wait:
	LOCK_OR slow_reply_wait
	mov %rbx, %r11
	shr $32, %r11
	cmp thread_limit(%rip), %r11d
	jae unlock_slow_reply_wait
	mov thread_table(,%r11,8), %r15         // r15 = who waits for the reply
	cmp %rbx, THREAD_TOKEN(%r15)
	jne unlock_slow_reply_wait
	cmpl $STATE_AWAITING_REPLY, THREAD_STATE(%r15)
	jne unlock_slow_reply_wait
	mov THREAD_DOMAIN(%rbp), %rcx
	cmp %rcx, THREAD_REPLIER(%r15)
	jne unlock_slow_reply_wait
	cmp DOMAIN_SLOT_COUNT(%rcx), %rdi
	jae unlock_slow_reply_wait
	mov DOMAIN_SLOTS(%rcx), %r11
	mov %rdi, %rax
	shl $4, %rax
	mov (%r11,%rax), %rax
	mov %rax, %rcx
	shr $48, %rcx
	and $SLOT_RECEIVABLE_PORT_MASK, %ecx
	cmp $SLOT_RECEIVABLE_PORT, %ecx
	jne unlock_slow_reply_wait
	shl $16, %rax
	sar $16, %rax                           // rax = port
	cmpq $0, PORT_SENDERS(%rax)
	jne unlock_slow_reply_wait
	cmpq $0, PORT_BITS(%rax)
	jne unlock_slow_reply_wait
	mov THREAD_PROCESSOR(%rbp), %rcx        // rcx = processor
	mov THREAD_PINNED(%r15), %r11
	test %r11, %r11
	jz 1f
	cmp %rcx, %r11
	jne unlock_slow_reply_wait
1:	cmpw $1, THREAD_BARE(%r15)
	je 2f
	cmpw $0, THREAD_BARE(%r15)
	jne unlock_slow_reply_wait
	cmp %r15, PROCESSOR_USER_OWNER(%rcx)
	je 2f
	HARDWARE_ELSE take_user_state           // the slow path saves extended state
	jmp unlock_slow_reply_wait
2:	bsr PROCESSOR_READY_PRIORITIES(%rcx), %r11d
	jz 3f
	cmp THREAD_PRIORITY(%r15), %r11b
	jae unlock_slow_reply_wait
3:	mov PORT_WAITERS(%rax), %r11
reply_wait_commits:
	mov %r11, THREAD_NEXT(%rbp)
	mov %rbp, PORT_WAITERS(%rax)
	mov %rax, THREAD_PORT(%rbp)
	movl $STATE_WAITING, THREAD_STATE(%rbp)
	xor %edi, %edi
	xor %ebx, %ebx
	mov THREAD_DOMAIN(%r15), %rax
	jmp fast_switch

// Interpreted ring 0: the processor still holds another thread's vector registers and bases. The slow
// path would interpret ten times as much.
take_user_state:
	bsr PROCESSOR_READY_PRIORITIES(%rcx), %r11d
	jz 1f
	cmp THREAD_PRIORITY(%r15), %r11b
	jae unlock_slow_reply_wait
1:	push %rax
	push %rdx
	push %rsi
	mov PROCESSOR_USER_OWNER(%rcx), %rdi
	test %rdi, %rdi
	jz 2f
	mov THREAD_VECTOR_STATE(%rdi), %rdi
2:	mov THREAD_VECTOR_STATE(%r15), %rsi
	mov vector_components(%rip), %edx
	test %edx, %edx
	jz 4f
	call exchange_in_ring3
3:	pop %rsi
	pop %rdx
	pop %rax
	mov %r15, PROCESSOR_USER_OWNER(%rcx)
	mov %rax, %rbx
	mov %rcx, %rdi
	mov %rdx, %r11
	mov $MSR_FS_BASE, %ecx
	mov THREAD_FS_BASE(%r15), %eax
	mov THREAD_FS_BASE + 4(%r15), %edx
	wrmsr
	inc %ecx                                // MSR_GS_BASE
	mov THREAD_GS_BASE(%r15), %eax
	mov THREAD_GS_BASE + 4(%r15), %edx
	wrmsr
	mov %r11, %rdx
	mov %rdi, %rcx
	mov %rbx, %rax
	mov PORT_WAITERS(%rax), %r11
	jmp reply_wait_commits
4:	test %rdi, %rdi
	jz 5f
	fxsave64 (%rdi)
5:	fxrstor64 (%rsi)
	jmp 3b

unlock_slow_reply_wait:
	movl $0, kernel_lock_word(%rip)
slow_reply_wait:
	mov $1, %eax
	jmp slow_system_call

// Exceptions and interrupts: one stub of 16 bytes per vector.
	.align 2048                             // all within the same 64 KiB
	.global vector_stubs
vector_stubs:
	.set vector, 0
	.rept FIRST_STUB_VECTORS
	.align 16
	.if vector != 8 && vector != 10 && vector != 11 && vector != 12 && vector != 13 && vector != 14 && vector != 17 && vector != 21 && vector != 29 && vector != 30
	push $0
	.endif
	push $vector
	jmp trap_common
	.set vector, vector + 1
	.endr

	.align 16
trap_common:
	testb $3, 24(%rsp)                      // cs
	jz trap_in_kernel
	ENTER_OR_LEAVE_USER_GS
	PUSH_REGISTERS
	lea -THREAD_FRAME(%rsp), %rdi
	mov THREAD_PROCESSOR(%rdi), %rax
	mov PROCESSOR_STACK_TOP(%rax), %rsp
	cld
	call trap_entry

// rax = thread to run with all its registers from its frame, or 0.
	.global resume
resume:
	test %rax, %rax
	jz idle_halt
	lea THREAD_FRAME(%rax), %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rbp
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	pop %rbx
	pop %rax
	add $16, %rsp
	ENTER_OR_LEAVE_USER_GS
	iretq

// Nothing to run. An interrupt does not return here, so there is nothing to keep.
	.global idle_halt
idle_halt:
	sti
	hlt
	jmp idle_halt

// From ring 0: an interrupt while idle, or an exception, which is a bug in the kernel.
trap_in_kernel:
	mov (%rsp), %rsi                        // vector
	mov 8(%rsp), %rdx                       // error code
	mov 16(%rsp), %rcx                      // rip
	mov %rsp, %rdi
	dec %rdi
	and $-PROCESSOR_BLOCK_SIZE, %rdi
	mov PROCESSOR_STACK_TOP(%rdi), %rsp
	call trap_in_kernel_entry
	jmp resume

// The probe: uint64_t probe(uint64_t user_rip). Returns 0 on hardware; if interpreted, what the probe
// found in ring 3 (user_entry.S), with the highest bit set.
	.global probe
probe:
	push %rbx
	push %rbp
	mov %rsp, probe_stack(%rip)
	lea probe_on_hardware(%rip), %r8
	push $USER_DATA_SELECTOR
	push probe_stack(%rip)
	push $2                                 // IF off
	push $USER_CODE_SELECTOR
	push %rdi
	iretq
probe_on_hardware:
	xor %eax, %eax
	jmp 1f
	.global probe_interpreted
probe_interpreted:
	mov %r9, %rax
	bts $63, %rax
1:	mov probe_stack(%rip), %rsp
	pop %rbp
	pop %rbx
	ret

	.section .rodata
	.align 8
	.global entry_return
entry_return:
	.quad ENTRY_RETURN
foreign_entry:
	.quad FOREIGN_ENTRY

	.data
	.global kernel_lock_word
	.align 64
kernel_lock_word:
	.long 0
	.align 64
probe_stack:
	.quad 0
