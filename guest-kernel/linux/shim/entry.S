#include "guest-kernel/lib/system_call_asm.h"

// struct ThreadPage
#define THREAD_STACK_TOP %gs:0x00
#define THREAD_USER_STACK %gs:0x08
#define THREAD_SIGNAL_MASK %gs:0x10
#define THREAD_PENDING %gs:0x18
#define THREAD_INTERRUPTED_INSTRUCTION %gs:0x20
#define THREAD_INTERRUPTED_STACK %gs:0x28
#define THREAD_INTERRUPTED_FLAGS %gs:0x30
#define THREAD_RESUME %gs:0x38

// struct Frame
#define FRAME_RCX 0x68
#define FRAME_R11 0x70
#define FRAME_INSTRUCTION 0x78
#define FRAME_FLAGS 0x80
#define FRAME_STACK 0x88

    .section .header, "a"
    .quad shim_handler
    .quad shim_start
    .quad shim_interrupted
    .quad shim_copy_begin
    .quad shim_copy_end
    .quad shim_copy_fixup
    .quad shim_exit_begin
    .quad shim_exit_jump
    .quad shim_exit_end

    .text

.macro push_general
    push %r15
    push %r14
    push %r13
    push %r12
    push %rbp
    push %rbx
    push %r9
    push %r8
    push %r10
    push %rdx
    push %rsi
    push %rdi
    push %rax
.endm

.macro load_general
    mov 0x00(%rsp), %rax
    mov 0x08(%rsp), %rdi
    mov 0x10(%rsp), %rsi
    mov 0x18(%rsp), %rdx
    mov 0x20(%rsp), %r10
    mov 0x28(%rsp), %r8
    mov 0x30(%rsp), %r9
    mov 0x38(%rsp), %rbx
    mov 0x40(%rsp), %rbp
    mov 0x48(%rsp), %r12
    mov 0x50(%rsp), %r13
    mov 0x58(%rsp), %r14
    mov 0x60(%rsp), %r15
.endm

// An application's `syscall` arrives here: rcx = return address, r11 = flags, all else the
// application's. Nothing is written to its stack, whose red zone is in use.
    .globl shim_handler
shim_handler:
    mov %rsp, THREAD_USER_STACK
    mov THREAD_STACK_TOP, %rsp
    cld
    push THREAD_USER_STACK
    push %r11
    push %rcx
    push %r11
    push %rcx
    push_general
    mov %rsp, %rdi
    call shim_dispatch
shim_exit_begin:
    mov THREAD_SIGNAL_MASK, %rcx
    not %rcx
    and THREAD_PENDING, %rcx
    jnz shim_late_signal
    mov FRAME_INSTRUCTION(%rsp), %rax
    mov %rax, THREAD_RESUME
    load_general
    mov FRAME_RCX(%rsp), %rcx
    mov FRAME_R11(%rsp), %r11
    push FRAME_FLAGS(%rsp)
    popfq
    mov FRAME_STACK(%rsp), %rsp
shim_exit_jump:
    jmp *THREAD_RESUME
shim_exit_end:

shim_late_signal:
    mov %rsp, %rdi
    call shim_deliver
    jmp shim_exit_begin

// The server stopped the thread in its own code, for a signal: rip and rsp are the shim's, the flags
// plain, all else as it was.
shim_interrupted:
    push THREAD_INTERRUPTED_STACK
    push THREAD_INTERRUPTED_FLAGS
    push THREAD_INTERRUPTED_INSTRUCTION
    push %r11
    push %rcx
    push_general
    jmp shim_exit_begin

// A new thread: rdi = its ThreadPage, rsp = its Frame.
    .globl shim_start
shim_start:
    call shim_set_up
    jmp shim_exit_begin

// bool shim_copy(void* to, const void* from, size_t size): one of the two is the application's.
// False: it is not mapped so.
    .globl shim_copy
shim_copy:
    mov %rdx, %rcx
    shr $3, %rcx
shim_copy_begin:
    jz 1f
    rep movsq
1:  mov %edx, %ecx
    and $7, %ecx
    jz 2f
    rep movsb
2:  mov $1, %eax
    ret

// bool shim_save_vectors(void* area, size_t xsave_size), shim_load_vectors likewise.
    .globl shim_save_vectors
shim_save_vectors:
    test %rsi, %rsi
    jz 1f
    mov $-1, %eax
    mov $-1, %edx
    xsave64 (%rdi)
    mov $1, %eax
    ret
1:  fxsave64 (%rdi)
    mov $1, %eax
    ret

    .globl shim_load_vectors
shim_load_vectors:
    test %rsi, %rsi
    jz 1f
    mov $-1, %eax
    mov $-1, %edx
    xrstor64 (%rdi)
    mov $1, %eax
    ret
1:  fxrstor64 (%rdi)
    mov $1, %eax
    ret
shim_copy_end:

shim_copy_fixup:
    cld
    xor %eax, %eax
    ret

// long shim_forward(const Frame*, uint64_t task): sends the call to the server; returns its answer,
// or -ENOSYS where there is no server any more.
    .globl shim_forward
shim_forward:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsi, %r14
    mov 0x00(%rdi), %rsi
    mov 0x08(%rdi), %rdx
    mov 0x10(%rdi), %r8
    mov 0x18(%rdi), %r9
    mov 0x28(%rdi), %r12
    mov 0x30(%rdi), %r13
    mov 0x20(%rdi), %r10
    xor %eax, %eax
    xor %ebx, %ebx
    mov $2, %edi
    movabs $SYSTEM_CALL_ENTRY, %rcx
    call *%rcx
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    test %rax, %rax
    mov $-38, %rax
    cmovz %rsi, %rax
    ret

    .section .note.GNU-stack, "", @progbits
