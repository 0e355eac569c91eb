#include "guest-kernel/lib/system_call_asm.h"

// A server that answers every call with the words it came with: reply-and-wait on the port in slot
// ECHO_PORT, for ever. Position-independent; ipc_bench.cc copies it into another domain, which maps
// nothing else and so has no stack of its own but the page's end.
    .text
    .globl echo_start
    .hidden echo_start
    .globl echo_end
    .hidden echo_end
echo_start:
    xor %ebx, %ebx
1:  mov $1, %eax
    mov $16, %edi
    movabs $SYSTEM_CALL_ENTRY, %rcx
    call *%rcx
    jmp 1b
echo_end:
    .section .note.GNU-stack, "", @progbits
