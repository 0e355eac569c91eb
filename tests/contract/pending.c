// Signals that wait: behind a stop, and as many as a user may have: signal(7), sigqueue(3).
#include <sys/resource.h>

#include "contract.h"

static int handled[2];

static void tell_handled(int signal) {
  (void)signal;
  write(handled[1], "x", 1);
}

// What waits behind a stop is delivered once the process goes on.
BEHAVIOUR(stop_comes_before_a_handler) {
  MUST(pipe2(handled, O_NONBLOCK));
  const pid_t child = start_child();
  if (child == 0) {
    MUST(setpgid(0, 0));
    on_signal(SIGRTMIN, tell_handled, 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    sigaddset(&set, SIGRTMIN);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    raise(SIGTSTP);
    raise(SIGRTMIN);
    MUST(sigprocmask(SIG_UNBLOCK, &set, NULL));
    _exit(4);
  }
  int status;
  char byte;
  MUST(waitpid(child, &status, WUNTRACED));
  say_status("child", status);
  sleep_ms(20);
  SHOW(read(handled[0], &byte, 1));
  MUST(kill(child, SIGCONT));
  say_end("child", child);
  SHOW(read(handled[0], &byte, 1));
}

// RLIMIT_SIGPENDING counts what waits of a user, in the whole system.
BEHAVIOUR(queue_has_a_limit) {
  const pid_t child = start_child();
  if (child == 0) {
    const struct rlimit limit = {10, 10};
    MUST(setrlimit(RLIMIT_SIGPENDING, &limit));
    const uid_t user = 100000 + (uid_t)getpid();
    MUST(setresuid(user, user, user));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGRTMIN + 1);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    int queued = 0;
    while (queued < 100 && sigqueue(getpid(), SIGRTMIN, (union sigval){0}) == 0) {
      ++queued;
    }
    say("%d, then %s", queued, error_name(errno));
    // kill(2) always succeeds, and its signal tells less.
    SHOW(kill(getpid(), SIGRTMIN + 1));
    timer_t timer;
    SHOW(timer_create(CLOCK_MONOTONIC, NULL, &timer));
    const struct timespec no_time = {0, 0};
    siginfo_t info;
    FACT(sigtimedwait(&set, &info, &no_time) == SIGRTMIN);
    SHOW(sigqueue(getpid(), SIGRTMIN, (union sigval){0}));
    SHOW(sigqueue(getpid(), SIGRTMIN, (union sigval){0}));
    _exit(0);
  }
  say_end("child", child);
}
