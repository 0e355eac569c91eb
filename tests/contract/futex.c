// The futex call itself: futex(2).
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>

#include "contract.h"

static int word;

static long futex(int* address, int operation, int value, const struct timespec* timeout,
                  int* second, int third) {
  return syscall(SYS_futex, address, operation, value, timeout, second, third);
}

BEHAVIOUR(value_differs) {
  word = 1;
  SHOW(futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0));
  SHOW(futex(&word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0));
}

BEHAVIOUR(times_out) {
  const struct timespec brief = {0, 20000000};
  const long start = now_ms();
  SHOW(futex(&word, FUTEX_WAIT, 0, &brief, NULL, 0));
  FACT(now_ms() - start >= 20);
  const struct timespec bad = {0, 1000000000};
  SHOW(futex(&word, FUTEX_WAIT, 0, &bad, NULL, 0));
  const struct timespec negative = {-1, 0};
  SHOW(futex(&word, FUTEX_WAIT, 0, &negative, NULL, 0));
}

// FUTEX_WAIT_BITSET takes an absolute time; no bits are an error.
BEHAVIOUR(absolute_time) {
  const struct timespec past = {0, 1};
  SHOW(futex(&word, FUTEX_WAIT_BITSET, 0, &past, NULL, -1));
  SHOW(futex(&word, FUTEX_WAIT_BITSET, 0, &past, NULL, 0));
  SHOW(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &past, NULL, 1));
}

BEHAVIOUR(bad_addresses) {
  SHOW(futex((int*)((char*)&word + 1), FUTEX_WAIT, 0, NULL, NULL, 0));
  SHOW(futex((int*)8, FUTEX_WAIT, 0, NULL, NULL, 0));
  SHOW(futex((int*)((char*)&word + 1), FUTEX_WAKE, 1, NULL, NULL, 0));
  SHOW(futex(&word, 99, 0, NULL, NULL, 0));
}

BEHAVIOUR(nobody_waits) {
  SHOW(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
  SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
  int other = 0;
  SHOW(futex(&word, FUTEX_REQUEUE, 1, (void*)1, &other, 0));
  SHOW(futex(&word, FUTEX_CMP_REQUEUE, 1, (void*)1, &other, 5));
  SHOW(futex(&word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0));
}

static int* shared_words(void) {
  return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

// Wakes until somebody was there: the waiter may not have begun to wait.
static void wake_one(int* address) {
  while (futex(address, FUTEX_WAKE, 1, NULL, NULL, 0) == 0) {
    sleep_ms(1);
  }
}

BEHAVIOUR(wakes_other_process) {
  int* words = shared_words();
  const pid_t child = start_child();
  if (child == 0) {
    SHOW(futex(words, FUTEX_WAIT, 0, NULL, NULL, 0));
    _exit(0);
  }
  wake_one(words);
  say_end("waiter", child);
}

// Two mappings of one file are the same futex.
BEHAVIOUR(same_file_same_futex) {
  const int file = make_file("file", "");
  MUST(ftruncate(file, 4096));
  int* one = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  int* other = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  FACT(one != other);
  const pid_t child = start_child();
  if (child == 0) {
    SHOW(futex(one, FUTEX_WAIT, 0, NULL, NULL, 0));
    _exit(0);
  }
  wake_one(other);
  say_end("waiter", child);
}

// Waking counts those woken; the rest go on waiting.
BEHAVIOUR(wake_counts) {
  int* words = shared_words();
  pid_t children[4];
  for (int i = 0; i < 4; ++i) {
    children[i] = start_child();
    if (children[i] == 0) {
      futex(words, FUTEX_WAIT, 0, NULL, NULL, 0);
      _exit(0);
    }
  }
  for (int i = 0; i < 4; ++i) {
    wait_until_asleep(children[i]);
  }
  SHOW(futex(words, FUTEX_WAKE, 3, NULL, NULL, 0));
  SHOW(futex(words, FUTEX_WAKE, 3, NULL, NULL, 0));
  SHOW(futex(words, FUTEX_WAKE, 3, NULL, NULL, 0));
  for (int i = 0; i < 4; ++i) {
    say_end("waiter", children[i]);
  }
}

BEHAVIOUR(requeue_moves) {
  int* words = shared_words();
  pid_t children[3];
  for (int i = 0; i < 3; ++i) {
    children[i] = start_child();
    if (children[i] == 0) {
      futex(words, FUTEX_WAIT, 0, NULL, NULL, 0);
      _exit(0);
    }
  }
  for (int i = 0; i < 3; ++i) {
    wait_until_asleep(children[i]);
  }
  SHOW(futex(words, FUTEX_CMP_REQUEUE, 1, (void*)5, words + 1, 0));
  SHOW(futex(words, FUTEX_WAKE, 5, NULL, NULL, 0));
  SHOW(futex(words + 1, FUTEX_WAKE, 5, NULL, NULL, 0));
  for (int i = 0; i < 3; ++i) {
    say_end("waiter", children[i]);
  }
}

// Bits of wait and wake must meet.
BEHAVIOUR(bitset_selects) {
  int* words = shared_words();
  const pid_t child = start_child();
  if (child == 0) {
    futex(words, FUTEX_WAIT_BITSET, 0, NULL, NULL, 4);
    _exit(0);
  }
  wait_until_asleep(child);
  SHOW(futex(words, FUTEX_WAKE_BITSET, 1, NULL, NULL, 3));
  SHOW(futex(words, FUTEX_WAKE_BITSET, 1, NULL, NULL, 6));
  say_end("waiter", child);
}

BEHAVIOUR(interrupted) {
  on_signal(SIGUSR1, ignore_signal, 0);
  const pid_t nagger = start_nagging(SIGUSR1);
  SHOW(futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0));
  stop_nagging(nagger);
}

// The kernel clears and wakes the word of CLONE_CHILD_CLEARTID at a thread's end.
BEHAVIOUR(clear_on_exit) {
  int* words = shared_words();
  words[0] = 1;
  const pid_t child = start_child();
  if (child == 0) {
    FACT(syscall(SYS_set_tid_address, words) == getpid());
    _exit(0);
  }
  say_end("child", child);
  // Only memory that somebody else still has is written.
  FACT(words[0] == 0);
}

BEHAVIOUR(wake_operation) {
  int other = 5;
  SHOW(futex(&word, FUTEX_WAKE_OP, 1, (void*)1, &other,
             FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5)));
  say("%d", other);
}
