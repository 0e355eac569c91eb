# Prints a line and never ends.
    .include "pvh.inc"
start:
    print notice
1:  jmp 1b
notice:
    .asciz "looping\n"
