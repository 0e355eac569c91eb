// Processes that end by what they do themselves, and ends that cause others: kill(2), prctl(2),
// pty(7), close_range(2).
#include <sys/ioctl.h>
#include <sys/prctl.h>

#include "contract.h"

// Each process of the chain is to end with its parent: the first one's end ends them all.
BEHAVIOUR(death_signal_chain) {
  enum { kLength = 100 };
  int ready[2];
  int alive[2];
  MUST(pipe(ready));
  MUST(pipe(alive));
  const pid_t first = start_child();
  if (first == 0) {
    for (int depth = 1; depth < kLength; ++depth) {
      if (start_child() != 0) {
        for (;;) {
          pause();
        }
      }
      MUST(prctl(PR_SET_PDEATHSIG, SIGKILL));
    }
    MUST(write(ready[1], "x", 1));
    for (;;) {
      pause();
    }
  }
  close(alive[1]);
  char byte;
  MUST(read(ready[0], &byte, 1));
  kill(first, SIGKILL);
  say_end("first", first);
  SHOW(read(alive[0], &byte, 1));
}

// Ends of others in a row, some of them before the sender's own.
BEHAVIOUR(kills_own_group) {
  const pid_t leader = start_child();
  if (leader == 0) {
    MUST(setpgid(0, 0));
    for (int i = 0; i < 20; ++i) {
      if (start_child() == 0) {
        for (;;) {
          pause();
        }
      }
    }
    kill(0, SIGKILL);
    say("it lives");
    _exit(0);
  }
  say_end("leader", leader);
}

BEHAVIOUR(kills_group_from_the_middle) {
  const pid_t leader = start_child();
  if (leader == 0) {
    MUST(setpgid(0, 0));
    for (int i = 0; i < 20; ++i) {
      if (start_child() == 0) {
        if (i == 10) {
          sleep_ms(20);
          kill(0, SIGTERM);
          say("it lives");
        }
        for (;;) {
          pause();
        }
      }
    }
    for (;;) {
      pause();
    }
  }
  say_end("leader", leader);
}

BEHAVIOUR(queued_kill_of_itself) {
  const pid_t child = start_child();
  if (child == 0) {
    sigqueue(getpid(), SIGKILL, (union sigval){.sival_int = 1});
    say("it lives");
    _exit(0);
  }
  say_end("child", child);
}

static int master;

// The leader of a session whose terminal goes with the descriptor `master`.
static pid_t start_leader(void) {
  const pid_t child = start_child();
  if (child == 0) {
    MUST(setsid());
    master = (int)MUST(posix_openpt(O_RDWR | O_NOCTTY));
    MUST(grantpt(master));
    MUST(unlockpt(master));
    MUST(open(ptsname(master), O_RDWR));
    // More descriptors, which go at the end of the process.
    int ends[2];
    for (int i = 0; i < 5; ++i) {
      MUST(pipe(ends));
    }
  }
  return child;
}

BEHAVIOUR(hangs_up_by_close) {
  const pid_t child = start_leader();
  if (child == 0) {
    close(master);
    say("it lives");
    _exit(0);
  }
  say_end("leader", child);
}

BEHAVIOUR(hangs_up_by_close_range) {
  const pid_t child = start_leader();
  if (child == 0) {
    syscall(SYS_close_range, 3, ~0U, 0);
    say("it lives");
    _exit(0);
  }
  say_end("leader", child);
}

BEHAVIOUR(hangs_up_by_dup2) {
  const pid_t child = start_leader();
  if (child == 0) {
    dup2(1, master);
    say("it lives");
    _exit(0);
  }
  say_end("leader", child);
}

BEHAVIOUR(hangs_up_by_exec) {
  const pid_t child = start_leader();
  if (child == 0) {
    MUST(fcntl(master, F_SETFD, FD_CLOEXEC));
    execl(program_path(), program_path(), "--print", "arguments", NULL);
    say("it lives");
    _exit(0);
  }
  say_end("leader", child);
}
