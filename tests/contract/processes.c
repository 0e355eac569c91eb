// fork, vfork, wait and exit: fork(2), wait(2), waitid(2), exit(3).
#include <sys/prctl.h>
#include <sys/resource.h>

#include "contract.h"

BEHAVIOUR(exit_codes) {
  static const int kCodes[] = {0, 1, 42, 127, 128, 255, 256, 257, -1};
  for (size_t i = 0; i < sizeof(kCodes) / sizeof(kCodes[0]); ++i) {
    const pid_t child = start_child();
    if (child == 0) {
      _exit(kCodes[i]);
    }
    say_end("child", child);
  }
}

// Parent and child have the memory of before the fork, each its own from then on.
BEHAVIOUR(memory_is_private) {
  static int in_data = 1;
  int on_stack = 2;
  int* in_heap = malloc(sizeof(int));
  *in_heap = 3;
  const pid_t child = start_child();
  if (child == 0) {
    say("child: %d %d %d", in_data, on_stack, *in_heap);
    in_data = on_stack = *in_heap = 9;
    say("child: %d %d %d", in_data, on_stack, *in_heap);
    _exit(0);
  }
  say_end("child", child);
  say("parent: %d %d %d", in_data, on_stack, *in_heap);
}

BEHAVIOUR(identity) {
  const pid_t parent = getpid();
  const pid_t child = start_child();
  if (child == 0) {
    FACT(getppid() == parent);
    FACT(getpid() != parent);
    FACT(getpgrp() == getpgid(parent));
    FACT(getsid(0) == getsid(parent));
    _exit(0);
  }
  say_end("child", child);
  FACT(getpid() == parent);
}

BEHAVIOUR(no_children) {
  int status;
  SHOW(wait(&status));
  SHOW(waitpid(getpid(), &status, 0));
  SHOW(waitpid(1 << 29, &status, 0));
  siginfo_t info;
  SHOW(waitid(P_ALL, 0, &info, WEXITED));
}

BEHAVIOUR(bad_wait_arguments) {
  int status;
  const pid_t child = start_child();
  if (child == 0) {
    _exit(0);
  }
  siginfo_t info;
  SHOW(waitpid(child, &status, 0x1000));
  SHOW(waitid(P_PID, (id_t)child, &info, 0));
  SHOW(waitid((idtype_t)77, 0, &info, WEXITED));
  SHOW(waitpid(child, (int*)8, 0));
}

BEHAVIOUR(no_hang) {
  int ends[2];
  MUST(pipe(ends));
  const pid_t child = start_child();
  if (child == 0) {
    char byte;
    MUST(read(ends[0], &byte, 1));
    _exit(3);
  }
  int status;
  SHOW(waitpid(child, &status, WNOHANG));
  MUST(write(ends[1], "x", 1));
  FACT(waitpid(child, &status, 0) == child);
  say_status("child", status);
  SHOW(waitpid(child, &status, WNOHANG));
}

// waitid with WNOWAIT leaves the child to be waited for again.
BEHAVIOUR(waitid_facts) {
  const pid_t child = start_child();
  if (child == 0) {
    _exit(7);
  }
  siginfo_t info = {0};
  SHOW(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
  FACT(info.si_pid == child);
  FACT(info.si_code == CLD_EXITED);
  say("status %d, signal %s", info.si_status, signal_name(info.si_signo));
  SHOW(waitid(P_PID, (id_t)child, &info, WEXITED));
  SHOW(waitid(P_PID, (id_t)child, &info, WEXITED));
}

BEHAVIOUR(waitid_of_killed) {
  const pid_t child = start_child();
  if (child == 0) {
    raise(SIGKILL);
  }
  siginfo_t info = {0};
  SHOW(waitid(P_PID, (id_t)child, &info, WEXITED));
  FACT(info.si_code == CLD_KILLED);
  say("status %s", signal_name(info.si_status));
}

// With WNOHANG and nothing to tell, waitid gives 0 and a zero si_pid.
BEHAVIOUR(waitid_no_hang) {
  const pid_t child = start_child();
  if (child == 0) {
    pause();
    _exit(0);
  }
  siginfo_t info = {.si_signo = 99};
  info.si_pid = 99;
  SHOW(waitid(P_ALL, 0, &info, WEXITED | WNOHANG));
  say("pid %d", (int)info.si_pid);
  kill(child, SIGTERM);
  say_end("child", child);
}

BEHAVIOUR(stop_and_continue) {
  const pid_t child = start_child();
  if (child == 0) {
    for (;;) {
      pause();
    }
  }
  int status;
  MUST(kill(child, SIGSTOP));
  FACT(waitpid(child, &status, WUNTRACED) == child);
  say_status("child", status);
  SHOW(waitpid(child, &status, WUNTRACED | WNOHANG));
  MUST(kill(child, SIGCONT));
  FACT(waitpid(child, &status, WCONTINUED) == child);
  say_status("child", status);
  MUST(kill(child, SIGTERM));
  FACT(waitpid(child, &status, WUNTRACED | WCONTINUED) == child);
  say_status("child", status);
}

// A stopped process dies of SIGKILL at once, and of other signals when it continues.
BEHAVIOUR(killed_while_stopped) {
  const pid_t child = start_child();
  if (child == 0) {
    raise(SIGSTOP);
    _exit(0);
  }
  int status;
  MUST(waitpid(child, &status, WUNTRACED));
  say_status("child", status);
  MUST(kill(child, SIGTERM));
  sleep_ms(30);
  SHOW(waitpid(child, &status, WNOHANG));
  MUST(kill(child, SIGKILL));
  say_end("child", child);
}

BEHAVIOUR(wait_by_group) {
  const pid_t one = start_child();
  if (one == 0) {
    setpgid(0, 0);
    _exit(1);
  }
  setpgid(one, one);
  const pid_t other = start_child();
  if (other == 0) {
    _exit(2);
  }
  int status;
  FACT(waitpid(0, &status, 0) == other);
  say_status("same group", status);
  SHOW(waitpid(0, &status, 0));
  FACT(waitpid(-one, &status, 0) == one);
  say_status("own group", status);
}

// A process whose parent ends gets another parent; a subreaper above it is chosen.
BEHAVIOUR(orphans_go_to_subreaper) {
  MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
  const pid_t child = start_child();
  if (child == 0) {
    const pid_t parent = getpid();
    const pid_t grandchild = start_child();
    if (grandchild == 0) {
      while (getppid() == parent) {
        sleep_ms(2);
      }
      _exit(5);
    }
    _exit(4);
  }
  say_end("child", child);
  int status;
  FACT(wait(&status) != child);
  say_status("orphan", status);
}

// vfork's child runs in the parent's memory, and the parent waits for its end.
BEHAVIOUR(vfork_shares_memory) {
  volatile int value = 1;
  const pid_t child = vfork();
  if (child == 0) {
    value = 2;
    _exit(6);
  }
  say("value %d", value);
  say_end("child", child);
}

BEHAVIOUR(vfork_and_exec) {
  const char* path = program_path();
  const pid_t child = vfork();
  if (child == 0) {
    execl(path, "contract", "--print", "exit", "9", (char*)NULL);
    _exit(1);
  }
  say_end("child", child);
}

// exit runs atexit's functions in reverse order and writes buffers; _exit does not.
static void say_first(void) {
  say("registered first");
}
static void say_second(void) {
  say("registered second");
}
BEHAVIOUR(exit_functions) {
  const pid_t child = start_child();
  if (child == 0) {
    atexit(say_first);
    atexit(say_second);
    exit(3);
  }
  say_end("exit", child);
  const pid_t other = start_child();
  if (other == 0) {
    atexit(say_first);
    _exit(4);
  }
  say_end("_exit", other);
}

BEHAVIOUR(many_children) {
  enum { kCount = 50 };
  int sum = 0;
  for (int i = 0; i < kCount; ++i) {
    if (start_child() == 0) {
      _exit(i);
    }
  }
  for (int i = 0; i < kCount; ++i) {
    int status = 0;
    MUST(wait(&status));
    sum += WEXITSTATUS(status);
  }
  say("sum %d", sum);
  SHOW(wait(NULL));
}

// A chain: each generation forks the next and waits for it.
BEHAVIOUR(generations) {
  int depth = 0;
  while (depth < 20) {
    const pid_t child = start_child();
    if (child != 0) {
      const int status = wait_for(child);
      if (depth == 0) {
        say_status("first", status);
        return;
      }
      _exit(WEXITSTATUS(status) + 1);
    }
    ++depth;
  }
  _exit(1);
}

// RLIMIT_NPROC does not hold root; as a user, fork ends with EAGAIN and the system lives on.
BEHAVIOUR(fork_bomb) {
  const pid_t bomb = start_child();
  if (bomb == 0) {
    const struct rlimit limit = {20, 20};
    MUST(setrlimit(RLIMIT_NPROC, &limit));
    // The limit counts a user's processes in the whole system.
    const uid_t user = 100000 + (uid_t)getpid();
    MUST(setresuid(user, user, user));
    int children = 0;
    pid_t child;
    while (children < 100 && (child = fork()) >= 0) {
      if (child == 0) {
        pause();
        _exit(0);
      }
      ++children;
    }
    say("%d children, then %s", children, error_name(errno));
    on_signal(SIGTERM, SIG_IGN, 0);
    kill(-1, SIGTERM);
    while (wait(NULL) > 0) {
    }
    SHOW(fork() == 0 ? (_exit(0), 0) : 0);
    while (wait(NULL) > 0) {
    }
    _exit(0);
  }
  say_end("bomb", bomb);
}

// The use of resources by children is known after they have been waited for.
BEHAVIOUR(usage_of_children) {
  const pid_t child = start_child();
  if (child == 0) {
    for (const long end = now_ms() + 60; now_ms() < end;) {
    }
    _exit(0);
  }
  struct rusage usage;
  int status;
  FACT(wait4(child, &status, 0, &usage) == child);
  FACT(usage.ru_utime.tv_usec + usage.ru_utime.tv_sec + usage.ru_stime.tv_usec > 0);
  FACT(usage.ru_maxrss > 0);
  SHOW(getrusage(RUSAGE_CHILDREN, &usage));
  FACT(usage.ru_utime.tv_usec + usage.ru_utime.tv_sec + usage.ru_stime.tv_usec > 0);
  SHOW(getrusage(77, &usage));
}
