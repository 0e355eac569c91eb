# Entry of the kernel whose body is hostile_driver.c.
    .include "pvh.inc"
start:
    movl $stack_top, %esp
    call attack_all_devices
1:  hlt
    jmp 1b

    .section .bss
    .balign 16
    .skip 16384
stack_top:
