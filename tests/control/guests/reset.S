# Asks for a reset, for ever: each start prints a line.
    .include "pvh.inc"
start:
    print notice
    movl $0x7777, MACHINE_CONTROL
1:  hlt
    jmp 1b
notice:
    .asciz "started\n"
