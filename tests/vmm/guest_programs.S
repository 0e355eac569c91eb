// Small guests for machine_test.cc. Each starts as PVH enters a kernel: 32-bit protected mode, flat
// segments, no paging, ebx = start information. All jumps are relative, so that they run anywhere.

#define MACHINE_CONTROL 0xd0000000
#define DOORBELL        0xd0001000
#define UNCLAIMED       0xd0008000
#define RESULTS         0x200000
#define STACK           0x300000
#define IO_APIC         0xfec00000
#define LOCAL_APIC      0xfee00000
#define SERIAL_PORT     0x3f8
#define UNCLAIMED_PORT  0x510

.macro program name
  .balign 16
  .global guest_\name
  .hidden guest_\name
guest_\name:
.endm

.macro end name
  .global guest_\name\()_end
  .hidden guest_\name\()_end
guest_\name\()_end:
.endm

.macro power_off code=0
  movl $(\code << 16 | 0x3333), MACHINE_CONTROL
1:
  hlt
  jmp 1b
.endm

// Goes to ring 3 with leave for all ports, in 64-bit mode, because ring 3 of paravirtual KVM wants
// it. Page tables: 0x10000 to 0x13fff, TSS with an empty I/O bitmap: 0x14000, GDT: RESULTS + 64.
.macro enter_ring3
  movl $0x11007, 0x10000                 // Level 4 to level 3.
  movl $0x12007, 0x11000
  movl $0x13007, 0x11018                 // 3 GiB.
  movl $0x00000087, 0x12000              // 0 to 2 MiB.
  movl $0x00200087, 0x12008              // 2 to 4 MiB.
  movl $0xd0000097, 0x13400              // Device registers.
  movl $0x0000ffff, RESULTS + 64 + 0x08  // Ring 0, 64-bit code.
  movl $0x00af9b00, RESULTS + 64 + 0x0c
  movl $0x0000ffff, RESULTS + 64 + 0x10  // Ring 3, data.
  movl $0x00cff300, RESULTS + 64 + 0x14
  movl $0x0000ffff, RESULTS + 64 + 0x18  // Ring 3, 64-bit code.
  movl $0x00affb00, RESULTS + 64 + 0x1c
  movl $0x40002067, RESULTS + 64 + 0x20  // The TSS.
  movl $0x00008901, RESULTS + 64 + 0x24
  movw $0x68, 0x14066                    // Its I/O bitmap.
  movw $0x2f, RESULTS + 32
  movl $(RESULTS + 64), RESULTS + 34
  lgdt RESULTS + 32
  mov $0x620, %eax                       // With SSE.
  mov %eax, %cr4
  mov $0x10000, %eax
  mov %eax, %cr3
  mov $0xc0000080, %ecx
  mov $0x100, %eax
  xor %edx, %edx
  wrmsr
  mov $0x80000011, %eax
  mov %eax, %cr0
  mov $STACK, %esp
  call 91f
91:
  pop %eax
  add $(92f - 91b), %eax
  push $0x08
  push %eax
  lret
.code64
92:
  mov $0x20, %eax
  ltr %ax
  lea 93f(%rip), %rax
  pushq $0x13
  pushq $STACK
  pushq $0x3002                          // I/O privilege level 3.
  pushq $0x1b
  pushq %rax
  iretq
93:
.endm

.section .rodata
.code32

program power_off
  power_off 7
end power_off

program reset
  movl $0x7777, MACHINE_CONTROL
1:
  hlt
  jmp 1b
end reset

program serial
  mov $SERIAL_PORT, %edx
  mov $'h', %al
  out %al, %dx
  mov $'i', %al
  out %al, %dx
  power_off
end serial

// A string instruction is one exit with several bytes.
program serial_string
  movl $0x64636261, RESULTS
  mov $RESULTS, %esi
  mov $4, %ecx
  mov $SERIAL_PORT, %edx
  cld
  rep outsb
  power_off
end serial_string

program unclaimed
  mov $UNCLAIMED_PORT, %edx
  in %dx, %eax
  mov %eax, RESULTS
  mov UNCLAIMED, %eax
  mov %eax, RESULTS + 4
  movl $1, UNCLAIMED
  power_off
end unclaimed

// Counts in a register, and shows it in memory.
program count
1:
  inc %edi
  mov %edi, RESULTS
  jmp 1b
end count

// Asks for registers without end: most pauses meet a half-done access.
program read_registers
1:
  inc %edi
  mov MACHINE_CONTROL, %eax
  mov %edi, RESULTS
  jmp 1b
end read_registers

program halt
  cli
1:
  hlt
  jmp 1b
end halt

// An exception without an interrupt table.
program triple_fault
  movl $0, RESULTS
  movl $0, RESULTS + 4
  lidt RESULTS
  ud2
end triple_fault

// Instructions cannot come from a device's registers.
program run_registers
  mov $UNCLAIMED, %eax
  jmp *%eax
end run_registers

// Rings the doorbell, then waits for the VMM to answer in memory.
program doorbell
  movl $0x1234, DOORBELL
1:
  mov RESULTS, %eax
  test %eax, %eax
  jz 1b
  power_off
end doorbell

// Leads pin 16 to vector 0x30, says in memory that it is ready, and waits until the vector is among
// the local APIC's requests.
program interrupt
  movl $0x1ff, LOCAL_APIC + 0xf0         // Enable the local APIC.
  movl $(0x10 + 2 * 16), IO_APIC         // Low half of pin 16's entry.
  movl $0x30, IO_APIC + 0x10             // Edge, vector 0x30, to APIC 0, not masked.
  movl $1, RESULTS
1:
  mov LOCAL_APIC + 0x210, %eax           // Requests of vectors 32 to 63.
  test $0x10000, %eax
  jz 1b
  power_off
end interrupt

// Tells when it started, as a kernel does at its end.
program milestones
  rdtsc
  mov %eax, MACHINE_CONTROL + 8
  mov %edx, MACHINE_CONTROL + 12
  power_off
end milestones

// Shows what it was started with: ebx, and the CPUID of leaf 1.
program show_start
  mov %ebx, RESULTS
  mov $1, %eax
  cpuid
  mov %ebx, RESULTS + 4
  mov %ecx, RESULTS + 8
  power_off
end show_start

// Neither the write nor the read may reach the serial port.
program ring3_port
  enter_ring3
  mov $SERIAL_PORT, %edx
  mov $'x', %al
  out %al, %dx
  mov $SERIAL_PORT + 5, %edx
  xor %eax, %eax
  in %dx, %al
  mov $RESULTS, %ebx
  mov %eax, (%rbx)
  mov $MACHINE_CONTROL, %ebx
  movl $0x5555, (%rbx)
4:
  jmp 4b
.code32
end ring3_port

// What CPUID shows to ring 3 although an interpreted ring 0 lacks it must run there natively: this
// is what x86-64-v2 adds. An exception would be a triple fault.
program ring3_sse
  enter_ring3
  mov $0x0f0f, %eax
  popcnt %eax, %edx
  crc32l %eax, %ecx
  pxor %xmm0, %xmm0
  pcmpeqb %xmm1, %xmm1
  pshufb %xmm0, %xmm1
  pmulld %xmm1, %xmm1
  pcmpistri $0, %xmm0, %xmm1
  mov $RESULTS, %ebx
  mov %edx, (%rbx)
  mov $MACHINE_CONTROL, %ebx
  movl $0x5555, (%rbx)
1:
  jmp 1b
.code32
end ring3_sse

program ring3_bmi
  enter_ring3
  mov $0xf0, %eax
  mov $0xff, %ecx
  andn %ecx, %eax, %edx
  pdep %ecx, %eax, %esi
  lzcnt %eax, %edi
  mov $RESULTS, %ebx
  mov %edx, (%rbx)
  mov $MACHINE_CONTROL, %ebx
  movl $0x5555, (%rbx)
1:
  jmp 1b
.code32
end ring3_bmi

.section .note.GNU-stack, "", @progbits
