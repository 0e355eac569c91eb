// A PVH kernel with known instruction counts, for the tests of scripts/lane-ruler and as the bare start
// that scripts/bench compares with. Enters 64-bit mode, jumps to the upper half, and lets ring 3 enter
// ring 0 by `int3` ENTRIES times; then ends QEMU through the debug-exit device with `exit_value`.
//
// Ring 0 runs 23 instructions before ring 3, of which 8 touch memory, then per entry 3 (decl, jz, iretq), of
// which 2 do; the last entry goes on to end the machine.

#define KERNEL_BASE 0xffffffff80000000
#define ENTRIES 10
#define TSS 0x140000
#define BREAKPOINT 0x80120000

	.section .note.Xen, "a", @note
	.align 4
	.long 4, 4, 18
	.asciz "Xen"
	.long pvh_entry

	.section .boot.text, "ax"
	.code32
	.global pvh_entry
pvh_entry:
	mov $0x20, %eax                 // PAE
	mov %eax, %cr4
	mov $top_table, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx           // EFER
	rdmsr
	or $0x100, %eax                 // LME
	wrmsr
	mov $0x80000011, %eax           // PG, ET, PE
	mov %eax, %cr0
	lgdt gdt_pointer
	ljmp $0x8, $1f
	.code64
1:	movabs $upper_half, %rax
	jmp *%rax

	.section .boot.data, "aw"
	.align 4096
top_table:
	.quad pointer_table + 7
	.fill 510, 8, 0
	.quad pointer_table + 7
	.align 4096
pointer_table:
	.quad directory + 7
	.fill 509, 8, 0
	.quad directory + 7
	.quad 0
	.align 4096
directory:
	.quad 0x87
	.fill 511, 8, 0
	.align 8
gdt:
	.quad 0
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
	.quad 0x00cff3000000ffff
	.quad 0x00affb000000ffff
	.word 0x67, TSS & 0xffff        // its descriptor; two_rings.ld places the TSS
	.byte TSS >> 16, 0x89, 0, 0
	.quad 0
gdt_pointer:
	.word 55
	.long gdt

	.section .tss, "aw"
	.long 0
	.quad stack_top
	.fill 92, 1, 0
	.align 4096
	.fill 4096, 1, 0
stack_top:

	.text
	.global upper_half
upper_half:
	mov $0x28, %eax
	ltr %ax
	lidt idt_pointer(%rip)
	pushq $0x1b
	pushq $stack_top
	pushq $0x2
	pushq $0x23
	pushq $ring_3 - KERNEL_BASE
	iretq

	.section .breakpoint, "ax"      // two_rings.ld places it
	.global breakpoint
breakpoint:
	decl remaining(%rip)
	jz finish
	iretq
finish:
	mov exit_value(%rip), %al
	out %al, $0xf4
	hlt

	.text
ring_3:
	xor %eax, %eax
1:	int3
	inc %eax
	jmp 1b

	.data
	.align 8
remaining:
	.long ENTRIES
exit_value:
	.byte 21
	.align 16
idt:
	.fill 48, 1, 0
	.word BREAKPOINT & 0xffff, 8, 0xee00, BREAKPOINT >> 16 & 0xffff
	.long 0xffffffff, 0
idt_pointer:
	.word 63
	.quad idt
