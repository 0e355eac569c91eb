# Prints a line and waits for interrupts, which never come.
    .include "pvh.inc"
start:
    print notice
    cli
1:  hlt
    jmp 1b
notice:
    .asciz "halted\n"
