// What interpreted ring 0 cannot do with vector registers, ring 3 does for it.

#include "offsets.h"

	.text
// void exchange_in_ring3(void* save, const void* load, uint64_t components, Processor*): the vector
// registers into one area and out of another, by code in ring 3 on the kernel's own page table, which
// stays loaded and gives ring 3 the kernel's pool. Changes rax, rdx, rsi, rdi, r11 and TSS.RSP0.
	.global exchange_in_ring3
exchange_in_ring3:
	test %rdi, %rdi
	jz 1f
	mov %edi, %edi                          // the offset in the direct map
	bts $POOL_WINDOW_BIT, %rdi
1:	test %rsi, %rsi
	jz 2f
	mov %esi, %esi
	bts $POOL_WINDOW_BIT, %rsi
2:	mov $(boot_page_table - KERNEL_BASE), %r11
	mov %r11, %cr3
	movq $0, PROCESSOR_SPACE(%rcx)
	lea PROCESSOR_GATE_FRAME_END(%rcx), %r11
	mov %r11, PROCESSOR_TSS_RSP0(%rcx)
	mov $15, %r11d                          // all interrupts: a KVM that runs ring 3 natively may
	mov %r11, %cr8                          // take its interrupt flag for set
	mov %edx, %eax
	xor %edx, %edx
	mov %rsp, PROCESSOR_USER_RSP(%rcx)
	push $USER_DATA_SELECTOR
	push $0
	push $2                                 // IF off
	push $USER_CODE_SELECTOR
	push exchange_entry(%rip)
	iretq
	.global exchange_landing
exchange_landing:
	xor %r11d, %r11d
	mov %r11, %cr8
	mov PROCESSOR_USER_RSP(%rcx), %rsp
	ret

	.section .rodata
	.align 8
exchange_entry:
	.quad EXCHANGE_ENTRY
