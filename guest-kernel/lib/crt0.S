// First instructions of a program: rdi = StartInfo or NativeStart, rsp % 16 == 0. Applies the
// image's own relocations (R_X86_64_RELATIVE only; the linker script checks that), then calls
// program_main. The supervisor has zeroed .bss.
    .text
    .globl _start
    .hidden _start
    .type _start, @function
_start:
    xor %ebp, %ebp
    lea image_start(%rip), %rax
    lea relocations_start(%rip), %rcx
    lea relocations_end(%rip), %rdx
1:  cmp %rdx, %rcx
    jae 2f
    mov 0(%rcx), %rsi
    mov 16(%rcx), %r8
    add %rax, %r8
    mov %r8, (%rax, %rsi)
    add $24, %rcx
    jmp 1b
2:  call program_main
    call guest_exit_thread
    ud2
    .size _start, . - _start

    .hidden image_start
    .hidden relocations_start
    .hidden relocations_end
    .section .note.GNU-stack, "", @progbits
