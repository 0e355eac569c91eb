#include "guest-kernel/lib/system_call_asm.h"

// void guest_system_call(SystemCallFrame*): loads the frame's registers, enters ring 0, stores them
// back. The entry overwrites every general register but rsp.
    .text
    .globl guest_system_call
    .hidden guest_system_call
    .type guest_system_call, @function
guest_system_call:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    push %rdi
    mov 0(%rdi), %rax
    mov 16(%rdi), %rbx
    mov 24(%rdi), %rsi
    mov 32(%rdi), %rdx
    mov 40(%rdi), %r8
    mov 48(%rdi), %r9
    mov 56(%rdi), %r10
    mov 64(%rdi), %r12
    mov 72(%rdi), %r13
    mov 80(%rdi), %r14
    mov 8(%rdi), %rdi
    movabs $SYSTEM_CALL_ENTRY, %rcx
    call *%rcx
    pop %rbp
    mov %rax, 0(%rbp)
    mov %rdi, 8(%rbp)
    mov %rbx, 16(%rbp)
    mov %rsi, 24(%rbp)
    mov %rdx, 32(%rbp)
    mov %r8, 40(%rbp)
    mov %r9, 48(%rbp)
    mov %r10, 56(%rbp)
    mov %r12, 64(%rbp)
    mov %r13, 72(%rbp)
    mov %r14, 80(%rbp)
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
    .size guest_system_call, . - guest_system_call

    .section .note.GNU-stack, "", @progbits
