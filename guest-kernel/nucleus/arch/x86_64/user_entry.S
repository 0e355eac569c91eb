// The page at abi::kEntryPage: what ring 3 runs to enter ring 0, and the probe that finds out how.

	.section .entry_page, "ax"
	.align 4096
	.global entry_page
entry_page:
	// abi::kSystemCallEntry. Hardware: `syscall`. Interpreted ring 0: patched to `nop; int3`, the
	// cheapest way in there. Both have the address of `ret` as return address.
	.global system_call_instruction
system_call_instruction:
	syscall
	ret

	// abi::kForeignEntry: any other `syscall`. The handler address stands
	// at abi::kForeignHandler, 0x1000 below this page.
	.org entry_page + 0x80
	jmp *entry_page - 0x1000(%rip)

	// The probe runs in ring 3 with LSTAR = probe_landing: does `syscall` enter ring 0?
	// r8: where to go on in ring 0 on hardware.
	.org entry_page + 0x100
	.global probe_start
probe_start:
	syscall
	.org entry_page + 0x110
	.global probe_landing
probe_landing:
	mov %cs, %eax
	test $3, %al
	jnz 1f
	jmp *%r8
1:	int3

	// Nothing else of the kernel shares the page.
	.org entry_page + 4096, 0xcc
