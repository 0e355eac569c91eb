# Prints without end.
    .include "pvh.inc"
start:
    movl $block, %ebx
    movw $SERIAL, %dx
1:  movl %ebx, %esi
    movl $64, %ecx
    rep outsb
    jmp 1b
block:
    .ascii "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n"
