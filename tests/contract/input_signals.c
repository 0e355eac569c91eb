// Signals for input: fcntl(2)'s F_SETOWN, F_SETSIG and O_ASYNC.
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "contract.h"

static volatile int told_code;
static volatile int told_file;
static volatile long told_band;

static void told(int number, siginfo_t* info, void* context) {
  (void)context;
  last_signal = number;
  told_code = info->si_code;
  told_file = info->si_fd;
  told_band = info->si_band;
  ++signal_count;
}

static void listen_to(int number) {
  struct sigaction action = {.sa_sigaction = told, .sa_flags = SA_SIGINFO};
  MUST(sigaction(number, &action, NULL));
}

static void say_told(const char* when) {
  say("%s: %d signals", when, (int)signal_count);
  signal_count = 0;
}

BEHAVIOUR(pipe_input) {
  int ends[2];
  MUST(pipe(ends));
  listen_to(SIGIO);
  MUST(fcntl(ends[0], F_SETOWN, getpid()));
  MUST(fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK));
  FACT((fcntl(ends[0], F_GETFL) & O_ASYNC) != 0);
  MUST(write(ends[1], "x", 1));
  say_told("written");
  char byte;
  MUST(read(ends[0], &byte, 1));
  say_told("read");
  MUST(fcntl(ends[0], F_SETFL, O_NONBLOCK));
  MUST(write(ends[1], "x", 1));
  say_told("not asked for");
  MUST(fcntl(ends[0], F_SETFL, O_ASYNC));
  MUST(close(ends[1]));
  say_told("closed");
}

BEHAVIOUR(own_signal) {
  int ends[2];
  MUST(pipe(ends));
  listen_to(SIGUSR1);
  SHOW(fcntl(ends[0], F_GETSIG));
  SHOW(fcntl(ends[0], F_SETSIG, 65));
  SHOW(fcntl(ends[0], F_SETSIG, -1));
  SHOW(fcntl(ends[0], F_SETSIG, SIGUSR1));
  SHOW(fcntl(ends[0], F_GETSIG));
  MUST(fcntl(ends[0], F_SETOWN, getpid()));
  MUST(fcntl(ends[0], F_SETFL, O_ASYNC));
  MUST(write(ends[1], "x", 1));
  say_told("written");
  FACT(told_code == POLL_IN);
  FACT(told_file == ends[0]);
  say("band %lx", told_band);
  SHOW(fcntl(ends[0], F_SETSIG, 0));
  SHOW(fcntl(ends[0], F_GETSIG));
}

BEHAVIOUR(owners) {
  int ends[2];
  MUST(pipe(ends));
  SHOW(fcntl(ends[0], F_GETOWN));
  SHOW(fcntl(ends[0], F_SETOWN, 1 << 29));
  SHOW(fcntl(ends[0], F_SETOWN, -(1 << 29)));
  SHOW(syscall(SYS_fcntl, ends[0], F_SETOWN, 0x80000000));
  SHOW(fcntl(ends[0], F_SETOWN, -getpgrp()));
  FACT(fcntl(ends[0], F_GETOWN) == -getpgrp());
  struct f_owner_ex owner = {0};
  SHOW(fcntl(ends[0], F_GETOWN_EX, &owner));
  FACT(owner.type == F_OWNER_PGRP && owner.pid == getpgrp());
  owner.type = F_OWNER_TID;
  owner.pid = gettid();
  SHOW(fcntl(ends[0], F_SETOWN_EX, &owner));
  FACT(fcntl(ends[0], F_GETOWN) == gettid());
  owner.type = 77;
  SHOW(fcntl(ends[0], F_SETOWN_EX, &owner));
  owner.type = F_OWNER_PID;
  owner.pid = 1 << 29;
  SHOW(fcntl(ends[0], F_SETOWN_EX, &owner));
  SHOW(syscall(SYS_fcntl, ends[0], F_SETOWN_EX, 8));
  SHOW(syscall(SYS_fcntl, ends[0], F_GETOWN_EX, 8));
  SHOW(fcntl(ends[0], F_SETOWN, 0));
  SHOW(fcntl(ends[0], F_GETOWN));
}

BEHAVIOUR(group_is_told) {
  int ends[2];
  MUST(pipe(ends));
  listen_to(SIGIO);
  const pid_t child = start_child();
  if (child == 0) {
    while (signal_count == 0) {
      sleep_ms(2);
    }
    _exit(0);
  }
  MUST(fcntl(ends[0], F_SETOWN, -getpgrp()));
  MUST(fcntl(ends[0], F_SETFL, O_ASYNC));
  MUST(write(ends[1], "x", 1));
  say_told("parent");
  say_end("child", child);
}

BEHAVIOUR(sockets_by_ioctl) {
  int pair[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  listen_to(SIGIO);
  int owner = getpid();
  SHOW(ioctl(pair[0], 0x8901, &owner));
  owner = 0;
  SHOW(ioctl(pair[0], 0x8903, &owner));
  FACT(owner == getpid());
  int on = 1;
  SHOW(ioctl(pair[0], FIOASYNC, &on));
  FACT((fcntl(pair[0], F_GETFL) & O_ASYNC) != 0);
  MUST(write(pair[1], "x", 1));
  say_told("written");
  on = 0;
  SHOW(ioctl(pair[0], FIOASYNC, &on));
  MUST(write(pair[1], "x", 1));
  say_told("off");
}

BEHAVIOUR(duplicates_share) {
  int ends[2];
  MUST(pipe(ends));
  const int other = dup(ends[0]);
  listen_to(SIGIO);
  MUST(fcntl(other, F_SETOWN, getpid()));
  MUST(fcntl(ends[0], F_SETFL, O_ASYNC));
  FACT(fcntl(ends[0], F_GETOWN) == getpid());
  MUST(close(ends[0]));
  MUST(write(ends[1], "x", 1));
  say_told("written");
}
