#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// Ends in the way that its argument names; "exit N" ends with that code.

static volatile int zero;

static int endless(int depth) {
  volatile char frame[1024];
  frame[0] = (char)depth;
  return endless(depth + 1) + frame[0];
}

int main(int argc, char** argv) {
  const char* how = argc > 1 ? argv[1] : "";
  printf("%s\n", how);
  fflush(stdout);
  if (strcmp(how, "exit") == 0) {
    exit(argc > 2 ? atoi(argv[2]) : 0);
  } else if (strcmp(how, "read") == 0) {
    return *(volatile char*)8;
  } else if (strcmp(how, "write") == 0) {
    *(volatile char*)(uintptr_t)&main = 1;
  } else if (strcmp(how, "jump") == 0) {
    ((void (*)(void))0x12345678)();
  } else if (strcmp(how, "data") == 0) {
    static char code[] = {(char)0xc3};
    ((void (*)(void))(void*)code)();
  } else if (strcmp(how, "noncanonical") == 0) {
    return *(volatile char*)0x800000000000;
  } else if (strcmp(how, "kernel") == 0) {
    return *(volatile char*)0xffffffff80100000;
  } else if (strcmp(how, "illegal") == 0) {
    __asm__ volatile("ud2");
  } else if (strcmp(how, "divide") == 0) {
    return (argc + 100) / zero;
  } else if (strcmp(how, "halt") == 0) {
    __asm__ volatile("hlt");
  } else if (strcmp(how, "stack") == 0) {
    return endless(0);
  } else if (strcmp(how, "abort") == 0) {
    abort();
  } else if (strcmp(how, "kill") == 0) {
    raise(SIGKILL);
  } else if (strcmp(how, "unmapped") == 0) {
    char* map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(map, 4096);
    map[0] = 1;
  } else if (strcmp(how, "shim") == 0) {
    // The shim's own pages, its stack and the handler's address, then a call.
    memset((void*)0x3fffffffe000, 0xff, 0x2000);
    return (int)syscall(SYS_getppid);
  } else if (strcmp(how, "memory") == 0) {
    // All of it, and then some, which only this flag promises.
    for (;;) {
      char* map = mmap(NULL, 1 << 24, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (map == MAP_FAILED) {
        return 3;
      }
      for (size_t i = 0; i < 1 << 24; i += 4096) {
        map[i] = 1;
      }
    }
  } else if (strcmp(how, "stackless") == 0) {
    // A call without a stack is fine; using one is not.
    __asm__ volatile("movq $0, %%rsp\n movl $39, %%eax\n syscall\n push %%rax\n" : : : "memory");
  } else if (strcmp(how, "loop") == 0) {
    for (;;) {
      pause();
    }
  } else if (strcmp(how, "spin") == 0) {
    for (;;) {
    }
  }
  return 99;
}
