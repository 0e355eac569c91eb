// Sending, handling, blocking and waiting for signals: signal(7), sigaction(2), sigprocmask(2).
#include <setjmp.h>
#include <sys/signalfd.h>

#include "contract.h"

static sigset_t set_of(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  return set;
}

BEHAVIOUR(handler_runs) {
  on_signal(SIGUSR1, count_signal, 0);
  SHOW(raise(SIGUSR1));
  SHOW(kill(getpid(), SIGUSR1));
  say("handled %d, last %s", (int)signal_count, signal_name(last_signal));
}

// What each signal does to a process that has not asked for anything.
BEHAVIOUR(default_actions) {
  for (int signal = 1; signal < 32; ++signal) {
    const pid_t child = start_child();
    if (child == 0) {
      raise(signal);
      _exit(0);
    }
    int status = 0;
    MUST(waitpid(child, &status, WUNTRACED));
    say_status(signal_name(signal), status);
    if (WIFSTOPPED(status)) {
      kill(child, SIGKILL);
      wait_for(child);
    }
  }
}

BEHAVIOUR(real_time_default) {
  const pid_t child = start_child();
  if (child == 0) {
    raise(SIGRTMIN + 3);
    _exit(0);
  }
  const int status = wait_for(child);
  FACT(WIFSIGNALED(status) && WTERMSIG(status) == SIGRTMIN + 3);
}

// Standard signals do not queue; real-time signals do, the lowest first.
BEHAVIOUR(queueing) {
  sigset_t all;
  sigfillset(&all);
  MUST(sigprocmask(SIG_SETMASK, &all, NULL));
  for (int i = 0; i < 3; ++i) {
    union sigval value = {.sival_int = i};
    MUST(kill(getpid(), SIGUSR1));
    MUST(sigqueue(getpid(), SIGRTMIN + 1, value));
    MUST(sigqueue(getpid(), SIGRTMIN, value));
  }
  siginfo_t info;
  const struct timespec now = {0, 0};
  for (int signal; (signal = sigtimedwait(&all, &info, &now)) > 0;) {
    say("%s%d value %d", signal >= SIGRTMIN ? "RTMIN+" : "",
        signal >= SIGRTMIN ? signal - SIGRTMIN : signal,
        signal >= SIGRTMIN ? info.si_value.sival_int : 0);
  }
  say("then %s", error_name(errno));
}

BEHAVIOUR(mask_blocks) {
  on_signal(SIGUSR1, count_signal, 0);
  sigset_t set = set_of(SIGUSR1);
  sigset_t old;
  SHOW(sigprocmask(SIG_BLOCK, &set, &old));
  FACT(!sigismember(&old, SIGUSR1));
  raise(SIGUSR1);
  sigset_t pending;
  SHOW(sigpending(&pending));
  FACT(sigismember(&pending, SIGUSR1));
  say("handled %d", (int)signal_count);
  SHOW(sigprocmask(SIG_UNBLOCK, &set, &old));
  FACT(sigismember(&old, SIGUSR1));
  say("handled %d", (int)signal_count);
  SHOW(sigprocmask(77, &set, NULL));
}

// SIGKILL and SIGSTOP can be neither caught, ignored nor blocked.
BEHAVIOUR(kill_and_stop_stay) {
  struct sigaction action = {.sa_handler = SIG_IGN};
  SHOW(sigaction(SIGKILL, &action, NULL));
  SHOW(sigaction(SIGSTOP, &action, NULL));
  SHOW(sigaction(SIGKILL, NULL, &action));
  SHOW(sigaction(0, NULL, &action));
  SHOW(sigaction(65, NULL, &action));
  sigset_t all;
  sigfillset(&all);
  MUST(sigprocmask(SIG_SETMASK, &all, NULL));
  sigset_t now;
  MUST(sigprocmask(SIG_SETMASK, NULL, &now));
  FACT(sigismember(&now, SIGKILL));
  FACT(sigismember(&now, SIGSTOP));
  FACT(sigismember(&now, SIGTERM));
}

BEHAVIOUR(ignored_is_dropped) {
  on_signal(SIGUSR1, SIG_IGN, 0);
  sigset_t set = set_of(SIGUSR1);
  raise(SIGUSR1);
  MUST(sigprocmask(SIG_BLOCK, &set, NULL));
  raise(SIGUSR1);
  on_signal(SIGUSR1, count_signal, 0);
  MUST(sigprocmask(SIG_UNBLOCK, &set, NULL));
  say("handled %d", (int)signal_count);
}

// Setting a pending signal to be ignored discards it.
BEHAVIOUR(ignoring_discards_pending) {
  sigset_t set = set_of(SIGUSR1);
  MUST(sigprocmask(SIG_BLOCK, &set, NULL));
  raise(SIGUSR1);
  on_signal(SIGUSR1, SIG_IGN, 0);
  sigset_t pending;
  sigpending(&pending);
  FACT(sigismember(&pending, SIGUSR1));
}

static void say_mask(int signal) {
  sigset_t mask;
  sigprocmask(SIG_SETMASK, NULL, &mask);
  say("in %s: USR1 %d, USR2 %d, TERM %d", signal_name(signal), sigismember(&mask, SIGUSR1),
      sigismember(&mask, SIGUSR2), sigismember(&mask, SIGTERM));
}

// During a handler its own signal and sa_mask are blocked; afterwards the old mask is back.
BEHAVIOUR(mask_in_handler) {
  struct sigaction action = {.sa_handler = say_mask};
  sigaddset(&action.sa_mask, SIGTERM);
  MUST(sigaction(SIGUSR1, &action, NULL));
  raise(SIGUSR1);
  action.sa_flags = SA_NODEFER;
  MUST(sigaction(SIGUSR2, &action, NULL));
  raise(SIGUSR2);
  sigset_t mask;
  sigprocmask(SIG_SETMASK, NULL, &mask);
  FACT(sigisemptyset(&mask));
}

static void nest(int signal) {
  static int depth;
  static int entered;
  ++depth;
  say("enter %d", depth);
  if (++entered < 3) {
    raise(signal);
  }
  say("leave %d", depth--);
}

BEHAVIOUR(nested_handlers) {
  on_signal(SIGUSR1, nest, SA_NODEFER);
  raise(SIGUSR1);
}

BEHAVIOUR(deferred_in_handler) {
  on_signal(SIGUSR1, nest, 0);
  raise(SIGUSR1);
}

BEHAVIOUR(reset_hand) {
  on_signal(SIGUSR1, count_signal, SA_RESETHAND);
  raise(SIGUSR1);
  struct sigaction action;
  MUST(sigaction(SIGUSR1, NULL, &action));
  FACT(action.sa_handler == SIG_DFL);
  say("handled %d", (int)signal_count);
}

static siginfo_t seen;
static void keep_info(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  seen = *info;
}

static void on_info(int signal) {
  struct sigaction action = {.sa_sigaction = keep_info, .sa_flags = SA_SIGINFO};
  MUST(sigaction(signal, &action, NULL));
}

BEHAVIOUR(info_of_kill) {
  on_info(SIGUSR1);
  kill(getpid(), SIGUSR1);
  FACT(seen.si_code == SI_USER);
  FACT(seen.si_pid == getpid());
  FACT(seen.si_uid == getuid());
  raise(SIGUSR1);
  FACT(seen.si_code == SI_TKILL);
  say("signal %s", signal_name(seen.si_signo));
}

BEHAVIOUR(info_of_queue) {
  on_info(SIGUSR2);
  const union sigval value = {.sival_int = 12345};
  SHOW(sigqueue(getpid(), SIGUSR2, value));
  FACT(seen.si_code == SI_QUEUE);
  FACT(seen.si_pid == getpid());
  say("value %d", seen.si_value.sival_int);
}

BEHAVIOUR(info_of_child) {
  on_info(SIGCHLD);
  const pid_t child = start_child();
  if (child == 0) {
    _exit(5);
  }
  say_end("child", child);
  FACT(seen.si_code == CLD_EXITED);
  FACT(seen.si_pid == child);
  say("status %d", seen.si_status);
}

// A call that a handler interrupts fails with EINTR, unless SA_RESTART makes it go on.
BEHAVIOUR(interrupted_read) {
  int ends[2];
  char byte;
  MUST(pipe(ends));
  on_signal(SIGUSR1, ignore_signal, 0);
  const pid_t nagger = start_nagging(SIGUSR1);
  SHOW(read(ends[0], &byte, 1));
  int status;
  SHOW(waitpid(nagger, &status, 0));
  stop_nagging(nagger);
}

BEHAVIOUR(restarted_read) {
  int ends[2];
  char byte = 0;
  MUST(pipe(ends));
  on_signal(SIGUSR1, count_signal, SA_RESTART);
  const pid_t writer = start_child();
  if (writer == 0) {
    for (int i = 0; i < 5; ++i) {
      sleep_ms(20);
      kill(getppid(), SIGUSR1);
    }
    sleep_ms(20);
    MUST(write(ends[1], "x", 1));
    _exit(0);
  }
  SHOW(read(ends[0], &byte, 1));
  FACT(signal_count > 0);
  wait_for(writer);
}

// These are never restarted: nanosleep, pause, poll, sigsuspend.
BEHAVIOUR(not_restarted) {
  on_signal(SIGUSR1, ignore_signal, SA_RESTART);
  const pid_t nagger = start_nagging(SIGUSR1);
  struct timespec rest = {9, 0};
  SHOW(nanosleep(&rest, &rest));
  FACT(rest.tv_sec == 8);
  SHOW(pause());
  sigset_t none;
  sigemptyset(&none);
  SHOW(sigsuspend(&none));
  stop_nagging(nagger);
}

BEHAVIOUR(suspend_unblocks) {
  sigset_t set = set_of(SIGUSR1);
  on_signal(SIGUSR1, count_signal, 0);
  MUST(sigprocmask(SIG_BLOCK, &set, NULL));
  raise(SIGUSR1);
  sigset_t none;
  sigemptyset(&none);
  SHOW(sigsuspend(&none));
  say("handled %d", (int)signal_count);
  sigset_t mask;
  sigprocmask(SIG_SETMASK, NULL, &mask);
  FACT(sigismember(&mask, SIGUSR1));
}

BEHAVIOUR(wait_for_signal) {
  sigset_t set = set_of(SIGUSR1);
  MUST(sigprocmask(SIG_BLOCK, &set, NULL));
  siginfo_t info;
  const struct timespec short_time = {0, 10000000};
  SHOW(sigtimedwait(&set, &info, &short_time));
  const struct timespec bad = {0, 2000000000};
  SHOW(sigtimedwait(&set, &info, &bad));
  const pid_t child = start_child();
  if (child == 0) {
    kill(getppid(), SIGUSR1);
    _exit(0);
  }
  SHOW(sigwaitinfo(&set, &info) == SIGUSR1);
  FACT(info.si_pid == child);
  wait_for(child);
}

static char alternate[65536];
static void say_stack(int signal) {
  char here;
  say("%s on the alternate stack: %d", signal_name(signal),
      &here >= alternate && &here < alternate + sizeof(alternate));
  stack_t now;
  sigaltstack(NULL, &now);
  FACT((now.ss_flags & SS_ONSTACK) != 0);
}

BEHAVIOUR(alternate_stack) {
  const stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
  SHOW(sigaltstack(&stack, NULL));
  on_signal(SIGUSR1, say_stack, SA_ONSTACK);
  on_signal(SIGUSR2, say_stack, 0);
  raise(SIGUSR1);
  raise(SIGUSR2);
  const stack_t small = {.ss_sp = alternate, .ss_size = 100};
  SHOW(sigaltstack(&small, NULL));
  const stack_t none = {.ss_flags = SS_DISABLE};
  SHOW(sigaltstack(&none, NULL));
  raise(SIGUSR1);
}

static sigjmp_buf back;
static void jump(int signal) {
  siglongjmp(back, signal);
}

// siglongjmp out of a handler restores the mask that sigsetjmp saved.
BEHAVIOUR(jump_out_of_handler) {
  on_signal(SIGUSR1, jump, 0);
  for (volatile int i = 0; i < 2; ++i) {
    if (sigsetjmp(back, 1) == 0) {
      raise(SIGUSR1);
      say("not reached");
    }
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    say("back, blocked %d", sigismember(&mask, SIGUSR1));
  }
}

BEHAVIOUR(kill_errors) {
  SHOW(kill(getpid(), 0));
  SHOW(kill(getpid(), 65));
  SHOW(kill(getpid(), -1));
  SHOW(kill(1 << 29, 0));
  SHOW(kill(-(1 << 29), SIGTERM));
  SHOW(syscall(SYS_tgkill, getpid(), getpid(), 0));
  SHOW(syscall(SYS_tgkill, getpid(), -1, 0));
  SHOW(syscall(SYS_tkill, 1 << 29, 0));
}

BEHAVIOUR(user_cannot_kill_root) {
  const pid_t child = start_child();
  if (child == 0) {
    become_user();
    SHOW(kill(getppid(), SIGTERM));
    SHOW(kill(getppid(), 0));
    SHOW(kill(getpid(), 0));
    _exit(0);
  }
  say_end("user", child);
}

// A zombie can still be signalled, without effect.
BEHAVIOUR(signal_to_zombie) {
  const pid_t child = start_child();
  if (child == 0) {
    _exit(3);
  }
  siginfo_t info;
  MUST(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
  SHOW(kill(child, SIGKILL));
  say_end("child", child);
  SHOW(kill(child, 0));
}

// SIGCHLD ignored, or SA_NOCLDWAIT: children leave no zombies and wait ends with ECHILD.
BEHAVIOUR(no_zombies) {
  on_signal(SIGCHLD, SIG_IGN, 0);
  if (start_child() == 0) {
    _exit(3);
  }
  int status;
  SHOW(wait(&status));
  on_signal(SIGCHLD, count_signal, SA_NOCLDWAIT | SA_RESTART);
  if (start_child() == 0) {
    _exit(3);
  }
  SHOW(wait(&status));
  say("SIGCHLD %d times", (int)signal_count);
}

// SA_NOCLDSTOP: no SIGCHLD when children stop.
BEHAVIOUR(no_stop_notice) {
  for (int round = 0; round < 2; ++round) {
    signal_count = 0;
    on_signal(SIGCHLD, count_signal, round == 0 ? SA_NOCLDSTOP | SA_RESTART : SA_RESTART);
    const pid_t child = start_child();
    if (child == 0) {
      raise(SIGSTOP);
      _exit(0);
    }
    int status;
    waitpid(child, &status, WUNTRACED);
    // Linux marks a child as stopped first and tells its parent then.
    for (int i = 0; round == 1 && signal_count == 0 && i < 1000; ++i) {
      sleep_ms(2);
    }
    say("stopped: %d notices", (int)signal_count);
    on_signal(SIGCHLD, SIG_DFL, 0);
    kill(child, SIGKILL);
    wait_for(child);
  }
}

BEHAVIOUR(fork_and_signals) {
  on_signal(SIGUSR1, count_signal, 0);
  sigset_t set = set_of(SIGUSR2);
  MUST(sigprocmask(SIG_BLOCK, &set, NULL));
  raise(SIGUSR2);
  const pid_t child = start_child();
  if (child == 0) {
    sigset_t pending;
    sigset_t mask;
    sigpending(&pending);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    FACT(sigisemptyset(&pending));
    FACT(sigismember(&mask, SIGUSR2));
    raise(SIGUSR1);
    say("child handled %d", (int)signal_count);
    _exit(0);
  }
  say_end("child", child);
  say("parent handled %d", (int)signal_count);
}

BEHAVIOUR(signalfd_reads) {
  sigset_t set = set_of(SIGUSR1);
  sigaddset(&set, SIGCHLD);
  MUST(sigprocmask(SIG_BLOCK, &set, NULL));
  const int file = (int)DOES(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  struct signalfd_siginfo info;
  SHOW(read(file, &info, sizeof(info)));
  SHOW(read(file, &info, 10));
  raise(SIGUSR1);
  SHOW(read(file, &info, sizeof(info)));
  say("signal %s", signal_name((int)info.ssi_signo));
  FACT(info.ssi_pid == (unsigned)getpid());
  const pid_t child = start_child();
  if (child == 0) {
    _exit(9);
  }
  say_end("child", child);
  SHOW(read(file, &info, sizeof(info)));
  say("signal %s, status %d", signal_name((int)info.ssi_signo), info.ssi_status);
  FACT(info.ssi_pid == (unsigned)child);
}

// abort ends with SIGABRT even when that is blocked and ignored.
BEHAVIOUR(abort_always_ends) {
  const pid_t child = start_child();
  if (child == 0) {
    sigset_t set = set_of(SIGABRT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    on_signal(SIGABRT, SIG_IGN, 0);
    abort();
  }
  say_end("child", child);
}

// A signal to a group reaches all its members.
BEHAVIOUR(signal_to_group) {
  pid_t members[3];
  for (int i = 0; i < 3; ++i) {
    members[i] = start_child();
    if (members[i] == 0) {
      pause();
      _exit(0);
    }
    MUST(setpgid(members[i], members[0]));
  }
  SHOW(kill(-members[0], SIGTERM));
  for (int i = 0; i < 3; ++i) {
    say_end("member", members[i]);
  }
}
