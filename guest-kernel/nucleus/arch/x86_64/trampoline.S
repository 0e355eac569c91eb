// Start-up code of the other processors: copied to physical kTrampolinePage, entered in real mode with
// cs = its segment. Goes straight to 64-bit mode.

#include "offsets.h"

#define TRAMPOLINE 0x8000
#define AT(label) (label - trampoline_start + TRAMPOLINE)

	.section .rodata
	.global trampoline_start
	.global trampoline_end
	.global trampoline_processor
	.code16
	.align 16
trampoline_start:
	cli
	xor %ax, %ax
	mov %ax, %ds
	mov $0x6a0, %eax                // as boot.S
	mov %eax, %cr4
	mov $(boot_page_table - KERNEL_BASE), %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $0x901, %eax
	wrmsr
	lgdtl AT(trampoline_gdt_pointer)
	mov $0x80010033, %eax
	mov %eax, %cr0
	ljmpl $8, $AT(1f)
	.code64
1:	mov AT(trampoline_processor), %rdi
	movabs $processor_entry, %rax
	jmp *%rax

	.align 8
trampoline_gdt:
	.quad 0
	.quad 0x00af9b000000ffff
trampoline_gdt_pointer:
	.word 15
	.long AT(trampoline_gdt)
	.align 8
trampoline_processor:
	.quad 0
trampoline_end:
