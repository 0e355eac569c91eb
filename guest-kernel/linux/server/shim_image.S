    .section .rodata.shim, "a"
    .balign 16
    .globl shim_image_start
    .hidden shim_image_start
shim_image_start:
    .incbin SHIM_IMAGE
    .globl shim_image_end
    .hidden shim_image_end
shim_image_end:
    .balign 16
    .globl vdso_image_start
    .hidden vdso_image_start
vdso_image_start:
    .incbin VDSO_IMAGE
    .globl vdso_image_end
    .hidden vdso_image_end
vdso_image_end:
    .section .note.GNU-stack, "", @progbits
