# Takes an exception with an empty interrupt descriptor table.
    .include "pvh.inc"
start:
    print last_words
    lidt empty
    ud2
empty:
    .word 0
    .long 0
last_words:
    .asciz "about to fault\n"
