# Echoes what it receives on the 16550 until an end-of-transmission byte (4), then powers off with
# code 7. A control-C (3) is printed as "^C".
    .include "pvh.inc"
start:
    movw $SERIAL + 1, %dx       # Interrupt enable: received data.
    movb $1, %al
    outb %al, %dx
    print ready
receive:
    movw $SERIAL + 5, %dx
    inb %dx, %al
    testb $1, %al
    jz receive
    movw $SERIAL, %dx
    inb %dx, %al
    cmpb $4, %al
    je end
    cmpb $3, %al
    je control_c
    outb %al, %dx
    jmp receive
control_c:
    print interrupt
    jmp receive
end:
    power_off 7
ready:
    .asciz "ready\n"
interrupt:
    .asciz "^C"
