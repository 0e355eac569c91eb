// Vector registers belong to each thread alone, with all of their bits.
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "contract.h"

enum { kRegisters = 4, kSize = 32 };

// Fills registers from `in`, runs `work` and stores them in `out`.
#define HOLD(work)                                                 \
  __asm__ volatile(                                                \
      "vmovdqu (%0),%%ymm0; vmovdqu 32(%0),%%ymm5\n"               \
      "vmovdqu 64(%0),%%ymm10; vmovdqu 96(%0),%%ymm15\n" work      \
      "vmovdqu %%ymm0,(%1); vmovdqu %%ymm5,32(%1)\n"               \
      "vmovdqu %%ymm10,64(%1); vmovdqu %%ymm15,96(%1); vzeroupper" \
      :                                                            \
      : "r"(in), "r"(out), "i"(__NR_sched_yield)                   \
      : "rax", "rcx", "r11", "memory", "xmm0", "xmm5", "xmm10", "xmm15")

static void compute(const char* in, char* out) {
  HOLD("mov $3000000,%%ecx; 1: dec %%ecx; jnz 1b\n");
}

static void give_way(const char* in, char* out) {
  HOLD("mov %2,%%eax; syscall\n");
}

// How often registers did not hold what was put into them.
static int wrong_times(void (*hold)(const char*, char*), int me, int rounds) {
  char in[kRegisters * kSize];
  char out[sizeof(in)];
  int wrong = 0;
  for (int i = 0; i < rounds; ++i) {
    memset(in, 16 * me + i % 16, sizeof(in));
    memset(out, 0, sizeof(out));
    hold(in, out);
    wrong += memcmp(in, out, sizeof(in)) != 0;
  }
  return wrong;
}

static void hold_in_processes(void (*hold)(const char*, char*), int rounds) {
  if (!__builtin_cpu_supports("avx")) {
    say("0 wrong\nfirst: exit 0\nsecond: exit 0");
    return;
  }
  pid_t children[2];
  for (int i = 0; i < 2; ++i) {
    children[i] = start_child();
    if (children[i] == 0) {
      _exit(wrong_times(hold, i + 1, rounds) == 0 ? 0 : 1);
    }
  }
  say("%d wrong", wrong_times(hold, 3, rounds));
  say_end("first", children[0]);
  say_end("second", children[1]);
}

BEHAVIOUR(stay_while_others_compute) {
  hold_in_processes(compute, 60);
}

BEHAVIOUR(stay_while_others_are_called) {
  hold_in_processes(give_way, 300);
}

static void* hold_in_thread(void* argument) {
  const long me = (long)argument;
  return (void*)(long)(wrong_times(compute, (int)me, 30) + wrong_times(give_way, (int)me, 100));
}

BEHAVIOUR(are_each_threads_own) {
  pthread_t threads[3];
  if (!__builtin_cpu_supports("avx")) {
    say("0 wrong\n0 wrong\n0 wrong");
    return;
  }
  for (long i = 0; i < 3; ++i) {
    pthread_create(&threads[i], NULL, hold_in_thread, (void*)(i + 1));
  }
  for (int i = 0; i < 3; ++i) {
    void* wrong = NULL;
    pthread_join(threads[i], &wrong);
    say("%ld wrong", (long)wrong);
  }
}

// A handler that clears them, and what it interrupted.
static volatile sig_atomic_t handled;
static void clear(int signal) {
  (void)signal;
  __asm__ volatile("vzeroall" ::: "memory");
  handled = handled + 1;
}

static void until_handled(const char* in, char* out) {
  const volatile sig_atomic_t* const now = &handled;
  const int before = *now;
  __asm__ volatile(
      "vmovdqu (%0),%%ymm0; vmovdqu 32(%0),%%ymm5; vmovdqu 64(%0),%%ymm10; vmovdqu "
      "96(%0),%%ymm15\n"
      "1: pause; cmp %2,(%3); je 1b\n"
      "vmovdqu %%ymm0,(%1); vmovdqu %%ymm5,32(%1); vmovdqu %%ymm10,64(%1); vmovdqu "
      "%%ymm15,96(%1); vzeroupper"
      :
      : "r"(in), "r"(out), "r"(before), "r"(now)
      : "memory", "xmm0", "xmm5", "xmm10", "xmm15");
}

BEHAVIOUR(survive_a_handler) {
  if (!__builtin_cpu_supports("avx")) {
    say("0 wrong");
    return;
  }
  struct sigaction action = {.sa_handler = clear};
  sigaction(SIGALRM, &action, NULL);
  const struct itimerval often = {{0, 20000}, {0, 20000}};
  setitimer(ITIMER_REAL, &often, NULL);
  say("%d wrong", wrong_times(until_handled, 1, 10));
}
