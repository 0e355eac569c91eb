#include "guest-kernel/lib/system_call_asm.h"

#define THREAD_STACK_TOP %gs:0x00
#define THREAD_USER_STACK %gs:0x08

    .section .header, "a"
    .quad shim_handler
    .quad shim_start
    .quad shim_copy_begin
    .quad shim_copy_end
    .quad shim_copy_fixup

    .text

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
    mov %rsp, %rdi
    call shim_dispatch
    pop %rax
    pop %rdi
    pop %rsi
    pop %rdx
    pop %r10
    pop %r8
    pop %r9
    pop %rbx
    pop %rbp
    pop %r12
    pop %r13
    pop %r14
    pop %r15
    pop %rcx
    mov (%rsp), %r11
    popfq
    pop %rsp
    jmp *%rcx

// A new thread: rdi = its ThreadPage, rsp = the top of that page.
    .globl shim_start
shim_start:
    mov %rdi, %rbx
    call shim_set_up
    mov 0x10(%rbx), %rcx
    mov 0x18(%rbx), %rsp
    xor %eax, %eax
    xor %ebx, %ebx
    xor %edx, %edx
    xor %esi, %esi
    xor %edi, %edi
    xor %ebp, %ebp
    xor %r8d, %r8d
    xor %r9d, %r9d
    xor %r10d, %r10d
    xor %r11d, %r11d
    xor %r12d, %r12d
    xor %r13d, %r13d
    xor %r14d, %r14d
    xor %r15d, %r15d
    jmp *%rcx

// bool shim_copy(void* to, const void* from, size_t size): one of the two is the application's.
// False: it is not mapped so.
    .globl shim_copy
shim_copy:
    mov %rdx, %rcx
shim_copy_begin:
    rep movsb
shim_copy_end:
    mov $1, %eax
    ret
shim_copy_fixup:
    cld
    xor %eax, %eax
    ret

// long shim_forward(const Frame*): sends the call to the server; returns its answer, or -ENOSYS
// where there is no server any more.
    .globl shim_forward
shim_forward:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov 0x00(%rdi), %rsi
    mov 0x08(%rdi), %rdx
    mov 0x10(%rdi), %r8
    mov 0x18(%rdi), %r9
    mov 0x28(%rdi), %r12
    mov 0x30(%rdi), %r13
    xor %r14d, %r14d
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
