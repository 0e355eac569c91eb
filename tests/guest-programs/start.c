#define _GNU_SOURCE
#include <elf.h>
#include <sched.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "check.h"

// What a program finds at its start, and what a system call leaves alone.

static int initialised = 5;
static int zeroed[3000];
static __thread int thread_local_value = 77;

// The registers that the kernel preserves, the vector registers and the red zone.
static void test_registers(void) {
  uint64_t wrong = 0;
  __asm__ volatile(
      "movq $0x1111, %%rbx\n movq $0x2222, %%r12\n movq $0x3333, %%r13\n movq $0x4444, %%r14\n"
      "movq $0x5555, %%r15\n movq $0x6666, %%rdi\n movq $0x7777, %%rsi\n movq $0x8888, %%rdx\n"
      "movq $0x9999, %%r8\n movq $0xaaaa, %%r9\n movq $0xbbbb, %%r10\n"
      "movq %%rbx, %%xmm0\n movq %%r15, %%xmm15\n"
      "movq $0xcccc, -128(%%rsp)\n movq $0xdddd, -8(%%rsp)\n"
      "movl %1, %%eax\n syscall\n"
      "xorq $0x1111, %%rbx\n xorq $0x2222, %%r12\n xorq $0x3333, %%r13\n xorq $0x4444, %%r14\n"
      "movq %%xmm15, %%rcx\n xorq %%rcx, %%r15\n"
      "xorq $0x6666, %%rdi\n xorq $0x7777, %%rsi\n xorq $0x8888, %%rdx\n"
      "xorq $0x9999, %%r8\n xorq $0xaaaa, %%r9\n xorq $0xbbbb, %%r10\n"
      "movq -128(%%rsp), %%rcx\n xorq $0xcccc, %%rcx\n orq %%rcx, %%rbx\n"
      "movq -8(%%rsp), %%rcx\n xorq $0xdddd, %%rcx\n orq %%rcx, %%rbx\n"
      "movq %%xmm0, %%rcx\n xorq $0x1111, %%rcx\n orq %%rcx, %%rbx\n"
      "orq %%r12, %%rbx\n orq %%r13, %%rbx\n orq %%r14, %%rbx\n orq %%r15, %%rbx\n"
      "orq %%rdi, %%rbx\n orq %%rsi, %%rbx\n orq %%rdx, %%rbx\n orq %%r8, %%rbx\n"
      "orq %%r9, %%rbx\n orq %%r10, %%rbx\n movq %%rbx, %0\n"
      : "=m"(wrong)
      : "i"(SYS_getpid)
      : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
        "r15", "xmm0", "xmm15", "memory", "cc");
  CHECK(wrong == 0);
  // The same through the server: a descriptor that is not open.
  uint64_t stack_before = 0;
  uint64_t stack_after = 0;
  long result = 0;
  __asm__ volatile(
      "movq %%rsp, %0\n movq $0xeeee, -64(%%rsp)\n stc\n syscall\n"
      "movq $0, %3\n setc %b3\n movq %%rsp, %1\n subq -64(%%rsp), %3\n"
      : "=&r"(stack_before), "=&r"(stack_after), "=a"(result), "=&q"(wrong)
      : "a"(SYS_close), "D"(999)
      : "rcx", "r11", "memory", "cc");
  CHECK(result == -EBADF && stack_before == stack_after);
  CHECK(wrong == 1 - (uint64_t)0xeeee);
}

int main(int argc, char** argv, char** environment) {
  CHECK(argc >= 1 && argv[argc] == NULL);
  for (int i = 1; i < argc; ++i) {
    printf("argument %d: %s\n", i, argv[i]);
  }
  CHECK(environment[0] != NULL && getenv("PATH") != NULL && getenv("HOME") != NULL);
  CHECK(initialised == 5 && thread_local_value == 77);
  int sum = 0;
  for (int i = 0; i < 3000; ++i) {
    sum |= zeroed[i];
  }
  CHECK(sum == 0);
  CHECK(getauxval(AT_PAGESZ) == 4096);
  CHECK(getauxval(AT_PHNUM) > 0 && getauxval(AT_PHENT) == sizeof(Elf64_Phdr));
  const Elf64_Phdr* headers = (const Elf64_Phdr*)getauxval(AT_PHDR);
  int loads = 0;
  for (unsigned long i = 0; i < getauxval(AT_PHNUM); ++i) {
    loads += headers[i].p_type == PT_LOAD;
  }
  CHECK(loads >= 2);
  CHECK(strcmp((const char*)getauxval(AT_EXECFN), argv[0]) == 0);
  CHECK(strcmp((const char*)getauxval(AT_PLATFORM), "x86_64") == 0);
  CHECK(getauxval(AT_RANDOM) != 0 && getauxval(AT_ENTRY) != 0);
  CHECK(((uintptr_t)__builtin_frame_address(0) & 15) == 0);
  struct utsname name;
  CHECK(uname(&name) == 0);
  CHECK(strcmp(name.sysname, "Linux") == 0 && strcmp(name.machine, "x86_64") == 0);
  CHECK(name.nodename[0] != 0 && strncmp(name.release, "6.1.0", 5) == 0);
  CHECK(getpid() == 1 && syscall(SYS_gettid) == 1 && getuid() == 0 && geteuid() == 0);
  CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
  volatile double number = 1.5;
  CHECK(number * 2.0 == 3.0);
  test_registers();
  return finish();
}
