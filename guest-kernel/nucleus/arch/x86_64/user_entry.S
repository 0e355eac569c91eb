// The page at abi::kEntryPage: what ring 3 runs to enter ring 0, the probe that finds out how,
// and what the nucleus has ring 3 do for it.

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
	// No. Which vector state (of x87, SSE, AVX and the three parts of AVX-512) programs have, and how
	// much memory XSAVE takes for it, is known here only: the interpreter's CPUID is another.
	// r9 = components | size << 32, or 0 without XSAVE.
1:	xor %r9d, %r9d
	mov $1, %eax
	cpuid
	bt $27, %ecx                            // OSXSAVE
	jnc 4f
	xor %ecx, %ecx
	xgetbv
	and $0xe7, %eax
	mov %eax, %r9d
	mov $576, %r10d                         // x87, SSE and the header
	mov $2, %r11d
2:	bt %r11d, %r9d
	jnc 3f
	mov $0xd, %eax
	mov %r11d, %ecx
	cpuid
	add %ebx, %eax                          // size + offset
	cmp %eax, %r10d
	cmovb %eax, %r10d
3:	inc %r11d
	cmp $8, %r11d
	jb 2b
	shl $32, %r10
	or %r10, %r9
4:	int3

	// Saves a thread's vector state at rdi and loads another's from rsi, where either may be 0: ring 0
	// cannot where it is interpreted. edx:eax = components. Nothing but the nucleus gets back to
	// ring 0's caller from here: it tells by its own page table.
	.org entry_page + 0x200
	.global exchange_start
exchange_start:
	test %rdi, %rdi
	jz 1f
	xsave64 (%rdi)
1:	test %rsi, %rsi
	jz 2f
	xrstor64 (%rsi)
2:	int3

	// Nothing else of the kernel shares the page.
	.org entry_page + 4096, 0xcc
