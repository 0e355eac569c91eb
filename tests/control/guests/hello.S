# Prints a line and powers off with code 42, having reported milestones.
    .include "pvh.inc"
start:
    rdtsc
    movl %eax, MACHINE_CONTROL + 0x08
    movl %edx, MACHINE_CONTROL + 0x0C
    print greeting
    rdtsc
    movl %eax, MACHINE_CONTROL + 0x18
    movl %edx, MACHINE_CONTROL + 0x1C
    power_off 42
greeting:
    .asciz "hello from the guest\n"
