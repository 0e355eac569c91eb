// PVH entry: 32-bit protected mode, paging off, ebx = struct hvm_start_info. Switches on the static
// page tables below and enters nucleus_start() in the upper half.

#include "offsets.h"

#define PRESENT_WRITABLE 0x3
#define LARGE 0xe3              // present, writable, accessed, dirty, page size
#define NO_EXECUTE (1 << 63)

	.section .note.Xen, "a", @note
	.align 4
	.long 4, 4, 18          // XEN_ELFNOTE_PHYS32_ENTRY
	.asciz "Xen"
	.long pvh_entry

	.section .boot.text, "ax"
	.code32
	.global pvh_entry
pvh_entry:
	cli
	cld
	rdtsc
	mov %eax, %esi
	mov %edx, %edi
	mov $0x6a0, %eax        // PAE, PGE, OSFXSR, OSXMMEXCPT
	mov %eax, %cr4
	mov $(boot_page_table - KERNEL_BASE), %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx   // EFER
	rdmsr
	or $0x901, %eax         // SCE, LME, NXE
	wrmsr
	mov $0x80010033, %eax   // PG, WP, NE, ET, MP, PE
	mov %eax, %cr0
	lgdt boot_gdt_pointer
	ljmp $0x8, $1f
	.code64
1:	movabs $2f, %rax
	jmp *%rax

	.text
2:	xor %eax, %eax
	mov %eax, %ss
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	lea boot_processor_block + PROCESSOR_BLOCK_SIZE(%rip), %rsp
	mov %esi, %esi
	shl $32, %rdi
	or %rdi, %rsi           // TSC at entry
	mov %ebx, %edi          // start info
	xor %ebp, %ebp
	call nucleus_start
	jmp resume

	.section .boot.text, "ax"
	.align 8
boot_gdt:
	.quad 0
	.quad 0x00af9b000000ffff
boot_gdt_pointer:
	.word 15
	.long boot_gdt

// Where a started processor continues from trampoline.S: 64-bit mode, the kernel's page table,
// rdi = its block.
	.text
	.global processor_entry
processor_entry:
	xor %eax, %eax
	mov %eax, %ss
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	lea PROCESSOR_BLOCK_SIZE(%rdi), %rsp
	xor %ebp, %ebp
	call processor_main
	jmp idle_halt

	.data
	.align 4096
	.global boot_page_table
boot_page_table:
	.quad boot_identity_table - KERNEL_BASE + PRESENT_WRITABLE
	.fill 127, 8, 0
	.quad shared_top_table - KERNEL_BASE + 5
	.fill 127, 8, 0
	.quad direct_map_table - KERNEL_BASE + PRESENT_WRITABLE
	.fill 254, 8, 0
	.quad kernel_top_table - KERNEL_BASE + PRESENT_WRITABLE

// The direct map, in 2 MiB pages (some KVMs offer no larger ones). The first GiB, where the kernel's
// pool lies, and the APICs are there from the start; map_physical() adds what else is needed.
	.align 4096
direct_map_table:
	.quad direct_map_first - KERNEL_BASE + PRESENT_WRITABLE
	.quad direct_map_middle - KERNEL_BASE + PRESENT_WRITABLE
	.quad direct_map_middle - KERNEL_BASE + 4096 + PRESENT_WRITABLE
	.quad direct_map_devices - KERNEL_BASE + PRESENT_WRITABLE
	.fill 508, 8, 0

	.align 4096
direct_map_first:
	.set address, 0
	.rept 512
	.quad NO_EXECUTE + LARGE + address
	.set address, address + (1 << 21)
	.endr

#define UNCACHED 0x18
#define IO_APIC 0xfec00000
#define LOCAL_APIC 0xfee00000
	.align 4096
direct_map_devices:             // 3 GiB to 4 GiB
	.fill (IO_APIC >> 21) & 511, 8, 0
	.quad NO_EXECUTE + LARGE + UNCACHED + IO_APIC
	.quad NO_EXECUTE + LARGE + UNCACHED + LOCAL_APIC
	.fill 510 - ((IO_APIC >> 21) & 511), 8, 0

	.align 4096
kernel_top_table:
	.fill 510, 8, 0
	.quad kernel_directory - KERNEL_BASE + PRESENT_WRITABLE
	.quad 0

// One directory does for the image before protect_kernel_image(): its first 2 MiB, executable.
	.align 4096
kernel_directory:
	.quad LARGE
	.fill 511, 8, 0

	.align 4096
	.global shared_top_table
shared_top_table:
	.quad shared_directory - KERNEL_BASE + 5
	.fill 511, 8, 0
	.align 4096
shared_directory:
	.quad shared_leaf_table - KERNEL_BASE + 5
	.fill 511, 8, 0

	.section .bss
	.align 4096
	.global direct_map_middle
direct_map_middle:              // 1 GiB to 3 GiB
	.skip 8192
	.global pool_window_top
pool_window_top:                // open_pool_window(): the first GiB
	.skip 4096
	.global pool_window_table
pool_window_table:
	.skip 4096
	.global shared_leaf_table
shared_leaf_table:
	.skip 4096
	.global kernel_image_table
kernel_image_table:
	.skip 4096
	.global time_page
time_page:
	.skip 4096

	.data
	.align 4096
	.global boot_identity_table
boot_identity_table:
	.quad kernel_directory - KERNEL_BASE + PRESENT_WRITABLE
	.fill 511, 8, 0

	.section .bss
	.align PROCESSOR_BLOCK_SIZE
	.global boot_processor_block
boot_processor_block:
	.skip PROCESSOR_BLOCK_SIZE
