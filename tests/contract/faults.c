// What wild programs get: SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP with their facts, EFAULT.
#include <poll.h>
#include <setjmp.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <ucontext.h>

#include "contract.h"

static sigjmp_buf back;
static siginfo_t seen;
static char alternate[65536];

static void keep_and_jump(int signal, siginfo_t* info, void* context) {
  (void)context;
  seen = *info;
  siglongjmp(back, signal);
}

static void catch_faults(void) {
  static const int kFaults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
  struct sigaction action = {.sa_sigaction = keep_and_jump, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  const stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
  MUST(sigaltstack(&stack, NULL));
  for (size_t i = 0; i < sizeof(kFaults) / sizeof(kFaults[0]); ++i) {
    MUST(sigaction(kFaults[i], &action, NULL));
  }
}

// Runs a statement, and tells the fault that it caused.
#define FAULTS(statement)                                                           \
  do {                                                                              \
    if (sigsetjmp(back, 1) == 0) {                                                  \
      statement;                                                                    \
      say("%s: no fault", #statement);                                              \
    } else {                                                                        \
      say("%s: %s, code %d", #statement, signal_name(seen.si_signo), seen.si_code); \
    }                                                                               \
  } while (0)

static volatile char* null_pointer;

BEHAVIOUR(null_pointer_faults) {
  catch_faults();
  FAULTS((void)*null_pointer);
  FACT(seen.si_addr == NULL);
  FAULTS(null_pointer[100] = 1);
  FACT(seen.si_addr == (void*)100);
}

BEHAVIOUR(address_of_fault) {
  catch_faults();
  volatile char* memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  FAULTS(memory[123] = 1);
  FACT(seen.si_addr == memory + 123);
  MUST(munmap((void*)memory, 4096));
  FAULTS((void)memory[7]);
  FACT(seen.si_addr == memory + 7);
}

// Addresses that are not canonical raise a general protection fault: no address is told.
BEHAVIOUR(not_canonical) {
  catch_faults();
  volatile char* wild = (volatile char*)0x8000000000000000UL;
  FAULTS(*wild = 1);
  FACT(seen.si_addr == NULL);
}

BEHAVIOUR(kernel_addresses) {
  catch_faults();
  volatile char* kernel = (volatile char*)0xffffffff80000000UL;
  FAULTS((void)*kernel);
  FACT(seen.si_addr == kernel);
}

BEHAVIOUR(division_by_zero) {
  catch_faults();
  volatile int zero = 0;
  volatile int result = 0;
  FAULTS(result = 7 / zero);
  (void)result;
}

BEHAVIOUR(illegal_instruction) {
  catch_faults();
  FAULTS(__asm__ volatile("ud2"));
}

BEHAVIOUR(privileged_instruction) {
  catch_faults();
  FAULTS(__asm__ volatile("hlt"));
  FAULTS(__asm__ volatile("cli"));
  FAULTS(__asm__ volatile("mov %%cr3, %%rax" ::: "rax"));
  FAULTS(__asm__ volatile("outb %%al, $0x80" ::: "rax"));
  FAULTS(__asm__ volatile("xor %%ecx, %%ecx; rdmsr" ::: "rax", "rcx", "rdx"));
}

BEHAVIOUR(breakpoint) {
  catch_faults();
  FAULTS(__asm__ volatile("int3"));
}

BEHAVIOUR(behind_end_of_file) {
  catch_faults();
  const int file = make_file("file", "x");
  volatile char* memory = mmap(NULL, 8192, PROT_READ, MAP_SHARED, file, 0);
  FAULTS((void)memory[4096]);
  FACT(seen.si_addr == memory + 4096);
}

// A handler may change the registers with which the program goes on.
static void skip_instruction(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)info;
  ucontext_t* user = context;
  user->uc_mcontext.gregs[REG_RIP] += 2;
  user->uc_mcontext.gregs[REG_RAX] = 77;
}

BEHAVIOUR(handler_changes_registers) {
  struct sigaction action = {.sa_sigaction = skip_instruction, .sa_flags = SA_SIGINFO};
  MUST(sigaction(SIGILL, &action, NULL));
  long result = 0;
  __asm__ volatile("ud2" : "=a"(result));
  say("%ld", result);
}

// A handler that makes the page accessible lets the access happen again.
static char* guarded;
static void open_page(int signal) {
  ++signal_count;
  last_signal = signal;
  mprotect(guarded, 4096, PROT_READ | PROT_WRITE);
}

BEHAVIOUR(handler_repairs) {
  guarded = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  on_signal(SIGSEGV, open_page, 0);
  *(volatile char*)guarded = 5;
  say("%d after %d faults", *guarded, (int)signal_count);
}

// A fault whose signal is blocked or ignored ends the process.
BEHAVIOUR(blocked_fault_kills) {
  const pid_t child = start_child();
  if (child == 0) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    *null_pointer = 1;
    _exit(0);
  }
  say_end("blocked", child);
  const pid_t other = start_child();
  if (other == 0) {
    on_signal(SIGSEGV, SIG_IGN, 0);
    *null_pointer = 1;
    _exit(0);
  }
  say_end("ignored", other);
}

static int recurse(volatile int depth) {
  volatile char room[1000];
  room[0] = (char)depth;
  return depth < 0 ? 0 : recurse(depth + 1) + room[0];
}

BEHAVIOUR(endless_recursion) {
  const pid_t child = start_child();
  if (child == 0) {
    _exit(recurse(1));
  }
  say_end("child", child);
}

// The stack's end is told on the alternate stack.
BEHAVIOUR(recursion_is_caught) {
  const struct rlimit limit = {1 << 20, 1 << 20};
  MUST(setrlimit(RLIMIT_STACK, &limit));
  catch_faults();
  FAULTS(recurse(1));
}

BEHAVIOUR(stack_grows) {
  volatile char room[2 << 20];
  for (size_t i = 0; i < sizeof(room); i += 4096) {
    room[sizeof(room) - 1 - i] = 1;
  }
  FACT(room[sizeof(room) - 1] == 1);
}

// Calls with bad pointers give EFAULT and do no harm.
BEHAVIOUR(bad_pointers_to_read) {
  const char* bad = (const char*)0x10;
  SHOW(access(bad, F_OK));
  SHOW(chdir(bad));
  SHOW(mkdir(bad, 0700));
  SHOW(rmdir(bad));
  SHOW(unlink(bad));
  SHOW(rename(bad, "x"));
  SHOW(link("x", bad));
  SHOW(symlink(bad, "x"));
  SHOW(chmod(bad, 0));
  SHOW(truncate(bad, 0));
  SHOW(syscall(SYS_execve, bad, NULL, NULL));
  SHOW(syscall(SYS_utimensat, AT_FDCWD, bad, NULL, 0));
  SHOW(syscall(SYS_nanosleep, bad, NULL));
  SHOW(syscall(SYS_rt_sigaction, SIGUSR1, bad, NULL, 8));
  SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, bad, NULL, 8));
  SHOW(syscall(SYS_memfd_create, bad, 0));
}

BEHAVIOUR(bad_pointers_to_write) {
  void* bad = (void*)0x10;
  SHOW(syscall(SYS_stat, "/", bad));
  SHOW(syscall(SYS_fstat, 1, bad));
  SHOW(syscall(SYS_getcwd, bad, 100));
  SHOW(syscall(SYS_uname, bad));
  SHOW(syscall(SYS_sysinfo, bad));
  SHOW(syscall(SYS_pipe, bad));
  SHOW(syscall(SYS_getrlimit, RLIMIT_CORE, bad));
  SHOW(syscall(SYS_getrusage, RUSAGE_SELF, bad));
  SHOW(syscall(SYS_statfs, "/", bad));
  SHOW(syscall(SYS_times, bad));
  SHOW(syscall(SYS_getrandom, bad, 10, 0));
  SHOW(syscall(SYS_readlink, "/proc/self/exe", bad, 10));
  SHOW(syscall(SYS_poll, bad, 1, 0));
  SHOW(syscall(SYS_select, 1, bad, NULL, NULL, NULL));
  SHOW(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, bad));
  SHOW(syscall(SYS_rt_sigpending, bad, 8));
  SHOW(syscall(SYS_getitimer, 0, bad));
  SHOW(syscall(SYS_sched_getaffinity, 0, 128, bad));
  SHOW(syscall(SYS_getresuid, bad, bad, bad));
}

// Kernel addresses are as bad as others, for reading and for writing.
BEHAVIOUR(kernel_pointers) {
  void* kernel = (void*)0xffff888000000000UL;
  const int zero = (int)MUST(open("/dev/zero", O_RDWR));
  SHOW(syscall(SYS_read, zero, kernel, 10));
  SHOW(syscall(SYS_write, make_file("file", ""), kernel, 10));
  SHOW(syscall(SYS_stat, kernel, kernel));
  SHOW(syscall(SYS_uname, kernel));
  SHOW(syscall(SYS_read, zero, (void*)-1L, 10));
  SHOW(syscall(SYS_uname, (void*)0x7fffffffffffUL));
}

// A buffer that begins well and ends badly.
BEHAVIOUR(half_bad_buffers) {
  char* memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  MUST(munmap(memory + 4096, 4096));
  int ends[2];
  MUST(pipe(ends));
  SHOW(write(ends[1], memory + 4090, 100));
  SHOW(syscall(SYS_uname, memory + 4090));
  memory[4095] = 'n';
  SHOW(access(memory + 4095, F_OK));
  SHOW(getcwd(memory + 4094, 100) == NULL ? -1 : 0);
}

// Numbers of calls that do not exist.
BEHAVIOUR(unknown_calls) {
  SHOW(syscall(9999));
  SHOW(syscall(-5));
  SHOW(syscall(1L << 40));
  SHOW(syscall(SYS_create_module));
}
