// Descriptors of processes: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2), CLONE_PIDFD.
#include <linux/sched.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#include "contract.h"

static pid_t start_waiting_child(void) {
  const pid_t child = start_child();
  if (child == 0) {
    for (;;) {
      pause();
    }
  }
  return child;
}

static int descriptor_of(pid_t process) {
  return (int)MUST(syscall(SYS_pidfd_open, process, 0));
}

static void end_child(pid_t child) {
  kill(child, SIGKILL);
  wait_for(child);
}

BEHAVIOUR(opening) {
  SHOW(syscall(SYS_pidfd_open, 0, 0));
  SHOW(syscall(SYS_pidfd_open, -1, 0));
  SHOW(syscall(SYS_pidfd_open, 1 << 29, 0));
  SHOW(syscall(SYS_pidfd_open, getpid(), 0x100));
  const int own = (int)DOES(syscall(SYS_pidfd_open, getpid(), 0));
  SHOW(fcntl(own, F_GETFD));
  say("flags %x", fcntl(own, F_GETFL));
  char byte;
  SHOW(read(own, &byte, 1));
  SHOW(write(own, &byte, 1));
  SHOW(lseek(own, 0, SEEK_SET));
  const int waiting = (int)DOES(syscall(SYS_pidfd_open, getpid(), O_NONBLOCK));
  FACT((fcntl(waiting, F_GETFL) & O_NONBLOCK) != 0);
}

BEHAVIOUR(signals_through_proc) {
  on_signal(SIGUSR1, count_signal, 0);
  const int own = (int)MUST(open("/proc/self", O_RDONLY | O_DIRECTORY));
  SHOW(syscall(SYS_pidfd_send_signal, own, SIGUSR1, NULL, 0));
  say("%d", (int)signal_count);
  const int parent = (int)MUST(open("/proc", O_RDONLY | O_DIRECTORY));
  SHOW(syscall(SYS_pidfd_send_signal, parent, SIGUSR1, NULL, 0));
  char path[64];
  snprintf(path, sizeof(path), "/proc/self/task/%d", (int)getpid());
  const int thread = (int)MUST(open(path, O_RDONLY | O_DIRECTORY));
  SHOW(syscall(SYS_pidfd_send_signal, thread, SIGUSR1, NULL, 0));
  const int named = (int)MUST(open("/proc/self", O_PATH));
  SHOW(syscall(SYS_pidfd_send_signal, named, SIGUSR1, NULL, 0));
  const pid_t child = start_waiting_child();
  snprintf(path, sizeof(path), "/proc/%d", (int)child);
  const int other = (int)MUST(open(path, O_RDONLY | O_DIRECTORY));
  SHOW(syscall(SYS_pidfd_send_signal, other, SIGKILL, NULL, 0));
  wait_for(child);
  SHOW(syscall(SYS_pidfd_send_signal, other, 0, NULL, 0));
  SHOW(syscall(SYS_pidfd_getfd, own, 0, 0));
}

BEHAVIOUR(signals) {
  on_signal(SIGUSR1, count_signal, 0);
  const int own = descriptor_of(getpid());
  SHOW(syscall(SYS_pidfd_send_signal, own, SIGUSR1, NULL, 0));
  say("%d", (int)signal_count);
  SHOW(syscall(SYS_pidfd_send_signal, own, 99, NULL, 0));
  SHOW(syscall(SYS_pidfd_send_signal, own, SIGUSR1, NULL, 0x100));
  SHOW(syscall(SYS_pidfd_send_signal, 99, SIGUSR1, NULL, 0));
  SHOW(syscall(SYS_pidfd_send_signal, 1, SIGUSR1, NULL, 0));
  siginfo_t info = {.si_signo = SIGUSR2, .si_code = SI_QUEUE};
  SHOW(syscall(SYS_pidfd_send_signal, own, SIGUSR1, &info, 0));
  info.si_signo = SIGUSR1;
  SHOW(syscall(SYS_pidfd_send_signal, own, SIGUSR1, &info, 0));
  say("%d", (int)signal_count);
  SHOW(syscall(SYS_pidfd_send_signal, own, SIGUSR1, 8, 0));
}

BEHAVIOUR(signals_to_others) {
  const pid_t child = start_waiting_child();
  const int file = descriptor_of(child);
  siginfo_t info = {.si_signo = SIGTERM, .si_code = SI_USER};
  SHOW(syscall(SYS_pidfd_send_signal, file, SIGTERM, &info, 0));
  const pid_t other = start_child();
  if (other == 0) {
    become_user();
    SHOW(syscall(SYS_pidfd_send_signal, file, SIGTERM, NULL, 0));
    SHOW(syscall(SYS_pidfd_send_signal, file, 0, NULL, 0));
    SHOW(syscall(SYS_pidfd_getfd, file, 0, 0));
    _exit(0);
  }
  say_end("user", other);
  info.si_code = SI_QUEUE;
  SHOW(syscall(SYS_pidfd_send_signal, file, SIGTERM, &info, 0));
  say_end("child", child);
}

BEHAVIOUR(end_is_seen) {
  const pid_t child = start_waiting_child();
  const int file = descriptor_of(child);
  const int set = (int)MUST(epoll_create1(0));
  struct epoll_event event = {.events = EPOLLIN};
  MUST(epoll_ctl(set, EPOLL_CTL_ADD, file, &event));
  SHOW(epoll_wait(set, &event, 1, 0));
  kill(child, SIGKILL);
  SHOW(epoll_wait(set, &event, 1, 5000));
  say("events %x", event.events);
  struct pollfd ready = {file, POLLIN, 0};
  SHOW(poll(&ready, 1, 0));
  say("zombie %x", ready.revents);
  wait_for(child);
  SHOW(syscall(SYS_pidfd_send_signal, file, 0, NULL, 0));
  SHOW(syscall(SYS_pidfd_getfd, file, 0, 0));
}

BEHAVIOUR(waiting) {
  const pid_t child = start_waiting_child();
  const int file = descriptor_of(child);
  const int impatient = (int)MUST(syscall(SYS_pidfd_open, child, O_NONBLOCK));
  siginfo_t info = {0};
  SHOW(waitid(P_PIDFD, (id_t)file, &info, WEXITED | WNOHANG));
  say("pid %d", info.si_pid);
  SHOW(waitid(P_PIDFD, (id_t)impatient, &info, WEXITED));
  SHOW(waitid(P_PIDFD, 99, &info, WEXITED));
  SHOW(waitid(P_PIDFD, 1, &info, WEXITED));
  SHOW(waitid(P_PIDFD, (id_t)-1, &info, WEXITED));
  SHOW(waitid(P_PIDFD, (id_t)descriptor_of(getpid()), &info, WEXITED));
  kill(child, SIGTERM);
  SHOW(waitid(P_PIDFD, (id_t)file, &info, WEXITED));
  say("%d %s", info.si_code, signal_name(info.si_status));
  SHOW(waitid(P_PIDFD, (id_t)file, &info, WEXITED));
}

BEHAVIOUR(files_of_others) {
  int ends[2];
  MUST(pipe(ends));
  const pid_t child = start_child();
  if (child == 0) {
    const int file = make_file("file", "of the child");
    MUST(lseek(file, 3, SEEK_SET));
    MUST(dup2(file, 60));
    MUST(write(ends[1], "r", 1));
    for (;;) {
      pause();
    }
  }
  char byte;
  MUST(read(ends[0], &byte, 1));
  const int file = descriptor_of(child);
  const int taken = (int)MUST(syscall(SYS_pidfd_getfd, file, 60, 0));
  SHOW(fcntl(taken, F_GETFD));
  SHOW(lseek(taken, 0, SEEK_CUR));
  SHOW(syscall(SYS_pidfd_getfd, file, 61, 0));
  SHOW(syscall(SYS_pidfd_getfd, file, -1, 0));
  SHOW(syscall(SYS_pidfd_getfd, file, 60, 1));
  SHOW(syscall(SYS_pidfd_getfd, 99, 60, 0));
  SHOW(syscall(SYS_pidfd_getfd, 1, 60, 0));
  end_child(child);
}

BEHAVIOUR(made_by_clone) {
  int file = -1;
  const long child = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &file, 0, 0);
  if (child == 0) {
    _exit(7);
  }
  FACT(child > 0 && file > 2);
  SHOW(fcntl(file, F_GETFD));
  siginfo_t info = {0};
  SHOW(waitid(P_PIDFD, (id_t)file, &info, WEXITED));
  say("%d", info.si_status);
  int parent = 0;
  SHOW(syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, 0, &parent, 0, 0));
  SHOW(syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, 8, 0, 0));
}

BEHAVIOUR(made_by_clone3) {
  int file = -1;
  int id = 0;
  struct clone_args arguments = {.flags = CLONE_PIDFD | CLONE_PARENT_SETTID,
                                 .pidfd = (uint64_t)(uintptr_t)&file,
                                 .parent_tid = (uint64_t)(uintptr_t)&id,
                                 .exit_signal = SIGCHLD};
  const long child = syscall(SYS_clone3, &arguments, sizeof(arguments));
  if (child == 0) {
    _exit(9);
  }
  FACT(child == id && file > 2);
  siginfo_t info = {0};
  SHOW(waitid(P_PIDFD, (id_t)file, &info, WEXITED));
  say("%d", info.si_status);
}

BEHAVIOUR(clone3_arguments) {
  struct clone_args arguments = {.exit_signal = SIGCHLD};
  SHOW(syscall(SYS_clone3, &arguments, 8));
  SHOW(syscall(SYS_clone3, &arguments, 100000));
  SHOW(syscall(SYS_clone3, NULL, sizeof(arguments)));
  SHOW(syscall(SYS_clone3, 8, sizeof(arguments)));
  arguments.exit_signal = 200;
  SHOW(syscall(SYS_clone3, &arguments, sizeof(arguments)));
  arguments = (struct clone_args){.flags = CLONE_SIGHAND, .exit_signal = SIGCHLD};
  SHOW(syscall(SYS_clone3, &arguments, sizeof(arguments)));
  arguments = (struct clone_args){.flags = CLONE_THREAD, .exit_signal = SIGCHLD};
  SHOW(syscall(SYS_clone3, &arguments, sizeof(arguments)));
  arguments = (struct clone_args){.flags = CLONE_FS | CLONE_NEWNS, .exit_signal = SIGCHLD};
  SHOW(syscall(SYS_clone3, &arguments, sizeof(arguments)));
  arguments = (struct clone_args){.stack = 4096, .exit_signal = SIGCHLD};
  SHOW(syscall(SYS_clone3, &arguments, sizeof(arguments)));
  arguments = (struct clone_args){.stack_size = 4096, .exit_signal = SIGCHLD};
  SHOW(syscall(SYS_clone3, &arguments, sizeof(arguments)));
  struct {
    struct clone_args known;
    uint64_t more;
  } longer = {.known = {.exit_signal = SIGCHLD}, .more = 1};
  SHOW(syscall(SYS_clone3, &longer, sizeof(longer)));
}
