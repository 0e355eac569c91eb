// Calls on processes, memory and time: what they say to wrong arguments.
#include <grp.h>
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fsuid.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/un.h>
#include <sys/utsname.h>

#include "contract.h"

#define BAD ((void*)8)

BEHAVIOUR(kill_arguments) {
  SHOW(kill(getpid(), 65));
  SHOW(kill(getpid(), -1));
  SHOW(kill(1 << 29, 0));
  SHOW(kill(-(1 << 29), 0));
  SHOW(kill((pid_t)0x80000000, 0));
  SHOW(kill(getpid(), 0));
  SHOW(syscall(SYS_tkill, -1, 0));
  SHOW(syscall(SYS_tkill, 1 << 29, 0));
  SHOW(syscall(SYS_tgkill, getpid(), 1 << 29, 0));
  SHOW(syscall(SYS_tgkill, -1, gettid(), 0));
  SHOW(syscall(SYS_tgkill, getpid(), gettid(), 65));
}

BEHAVIOUR(wait_arguments) {
  int status;
  SHOW(waitpid(-1, &status, 0));
  SHOW(waitpid(1 << 29, &status, 0));
  SHOW(waitpid(-1, &status, 0x100));
  SHOW(waitpid((pid_t)0x80000000, &status, 0));
  siginfo_t info;
  SHOW(waitid(P_ALL, 0, &info, 0));
  SHOW(waitid(77, 0, &info, WEXITED));
  SHOW(waitid(P_PID, 0, &info, WEXITED));
  SHOW(waitid(P_ALL, 0, &info, WEXITED | 0x100));
  SHOW(waitid(P_ALL, 0, &info, WEXITED | WNOHANG));
}

BEHAVIOUR(process_groups) {
  SHOW(setpgid(0, -1));
  SHOW(setpgid(1 << 29, 0));
  SHOW(setpgid(-1, 0));
  SHOW(setpgid(0, 1 << 29));
  SHOW(getpgid(-1));
  SHOW(getpgid(1 << 29));
  SHOW(getsid(-1));
  SHOW(setsid());
}

BEHAVIOUR(sigaction_arguments) {
  struct sigaction action = {.sa_handler = SIG_IGN};
  SHOW(sigaction(0, &action, NULL));
  SHOW(sigaction(65, &action, NULL));
  SHOW(sigaction(SIGKILL, &action, NULL));
  SHOW(sigaction(SIGSTOP, &action, NULL));
  SHOW(sigaction(SIGKILL, NULL, &action));
  SHOW(syscall(SYS_rt_sigaction, SIGUSR1, &action, NULL, 4));
  SHOW(syscall(SYS_rt_sigaction, SIGUSR1, BAD, NULL, 8));
  SHOW(syscall(SYS_rt_sigaction, SIGUSR1, NULL, BAD, 8));
  sigset_t set;
  sigemptyset(&set);
  SHOW(syscall(SYS_rt_sigprocmask, 77, &set, NULL, 8));
  SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 4));
  SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, BAD, NULL, 8));
  SHOW(syscall(SYS_rt_sigprocmask, 77, NULL, &set, 8));
  SHOW(syscall(SYS_rt_sigpending, &set, 9));
  SHOW(syscall(SYS_rt_sigpending, BAD, 8));
  SHOW(syscall(SYS_rt_sigsuspend, &set, 4));
  SHOW(syscall(SYS_rt_sigsuspend, BAD, 8));
  struct timespec time = {0, 1000000000};
  SHOW(syscall(SYS_rt_sigtimedwait, &set, NULL, &time, 8));
  SHOW(syscall(SYS_rt_sigtimedwait, BAD, NULL, NULL, 8));
  SHOW(syscall(SYS_rt_sigtimedwait, &set, NULL, BAD, 8));
}

BEHAVIOUR(alternate_stack_arguments) {
  stack_t stack = {.ss_sp = BAD, .ss_size = 100};
  SHOW(sigaltstack(&stack, NULL));
  stack.ss_size = MINSIGSTKSZ;
  stack.ss_flags = 77;
  SHOW(sigaltstack(&stack, NULL));
  SHOW(sigaltstack(BAD, NULL));
  SHOW(sigaltstack(NULL, BAD));
  stack.ss_flags = SS_DISABLE;
  SHOW(sigaltstack(&stack, NULL));
}

BEHAVIOUR(mmap_arguments) {
  const int file = make_file("file", "text");
  const int reader = (int)MUST(open("file", O_RDONLY));
  const int writer = (int)MUST(open("file", O_WRONLY));
  SHOW(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  SHOW(mmap(NULL, 4096, PROT_READ, 0, file, 0));
  SHOW(mmap(NULL, 4096, PROT_READ, MAP_ANONYMOUS, -1, 0));
  SHOW(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 100));
  SHOW(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, -1, 0));
  SHOW(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, reader, 0));
  SHOW(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, writer, 0));
  SHOW(mmap((void*)1, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
  SHOW(mmap(NULL, (size_t)-1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  SHOW(mmap(NULL, (size_t)1 << 50, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  SHOW(munmap((void*)1, 4096));
  SHOW(munmap(NULL, 0));
  SHOW(munmap((void*)-4096, 8192));
  SHOW(mprotect((void*)1, 4096, PROT_READ));
  SHOW(mprotect((void*)0x10000, 4096, PROT_READ));
  SHOW(mprotect(NULL, 0, PROT_READ));
  SHOW(mremap((void*)1, 4096, 8192, 0));
  SHOW(mremap((void*)0x10000, 4096, 8192, 0));
  SHOW(msync((void*)1, 4096, MS_SYNC));
  SHOW(msync((void*)0x10000, 4096, MS_SYNC));
  SHOW(msync((void*)0x10000, 4096, MS_SYNC | MS_ASYNC));
  SHOW(madvise((void*)1, 4096, MADV_NORMAL));
  SHOW(madvise((void*)0x10000, 4096, MADV_NORMAL));
  SHOW(madvise((void*)0x10000, 4096, 9999));
  SHOW(mincore((void*)1, 4096, BAD));
  SHOW(mlock((void*)0x10000, 4096));
  SHOW(munlock((void*)0x10000, 4096));
  SHOW(mlockall(0));
  SHOW(mlockall(99));
  SHOW(mlock2((void*)0x10000, 4096, 77));
}

BEHAVIOUR(time_arguments) {
  struct timespec time;
  SHOW(clock_gettime(77, &time));
  SHOW(syscall(SYS_clock_gettime, CLOCK_REALTIME, BAD));
  SHOW(clock_getres(77, &time));
  SHOW(clock_getres(CLOCK_REALTIME, NULL));
  SHOW(clock_settime(CLOCK_MONOTONIC, &time));
  SHOW(clock_settime(77, &time));
  time = (struct timespec){0, 1000000000};
  SHOW(nanosleep(&time, NULL));
  time = (struct timespec){-1, 0};
  SHOW(nanosleep(&time, NULL));
  SHOW(syscall(SYS_nanosleep, BAD, NULL));
  SHOW(syscall(SYS_clock_nanosleep, 77, 0, &time, NULL));
  SHOW(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &time, NULL));
  SHOW(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, 0, BAD, NULL));
  SHOW(syscall(SYS_settimeofday, BAD, NULL));
  SHOW(syscall(SYS_times, BAD));
  SHOW(syscall(SYS_getrusage, 77, BAD));
  SHOW(syscall(SYS_getrusage, RUSAGE_SELF, BAD));
}

BEHAVIOUR(settime_by_users) {
  const pid_t child = start_child();
  if (child == 0) {
    become_user();
    struct timespec time = {1000, 0};
    SHOW(clock_settime(CLOCK_REALTIME, &time));
    time.tv_nsec = -1;
    SHOW(clock_settime(CLOCK_REALTIME, &time));
    SHOW(syscall(SYS_clock_settime, CLOCK_REALTIME, BAD));
    struct timeval old = {1000, 0};
    SHOW(syscall(SYS_settimeofday, &old, NULL));
    old.tv_usec = 1000000;
    SHOW(syscall(SYS_settimeofday, &old, NULL));
    _exit(0);
  }
  say_end("user", child);
}

BEHAVIOUR(timer_arguments) {
  struct itimerval value = {{0, 0}, {0, 1000000}};
  SHOW(setitimer(ITIMER_REAL, &value, NULL));
  SHOW(setitimer(77, &value, NULL));
  SHOW(getitimer(77, &value));
  SHOW(syscall(SYS_setitimer, ITIMER_REAL, BAD, NULL));
  SHOW(syscall(SYS_getitimer, ITIMER_REAL, BAD));
  timer_t timer;
  struct sigevent event = {.sigev_notify = 77};
  SHOW(syscall(SYS_timer_create, CLOCK_REALTIME, &event, &timer));
  event = (struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 99};
  SHOW(syscall(SYS_timer_create, CLOCK_REALTIME, &event, &timer));
  SHOW(syscall(SYS_timer_create, 77, NULL, &timer));
  SHOW(syscall(SYS_timer_create, CLOCK_REALTIME, BAD, &timer));
  SHOW(syscall(SYS_timer_create, CLOCK_REALTIME, NULL, BAD));
  SHOW(syscall(SYS_timer_delete, 12345));
  SHOW(syscall(SYS_timer_gettime, 12345, &value));
  SHOW(syscall(SYS_timer_settime, 12345, 0, &value, NULL));
  SHOW(syscall(SYS_timer_getoverrun, 12345));
  SHOW(timerfd_create(77, 0));
  SHOW(timerfd_create(CLOCK_REALTIME, 77));
  const int file = timerfd_create(CLOCK_MONOTONIC, 0);
  struct itimerspec setting = {{0, 0}, {0, 1000000000}};
  SHOW(timerfd_settime(file, 0, &setting, NULL));
  SHOW(timerfd_settime(file, 77, &setting, NULL));
  SHOW(timerfd_settime(1, 0, &setting, NULL));
  SHOW(timerfd_settime(99, 0, &setting, NULL));
  SHOW(timerfd_gettime(1, &setting));
  SHOW(timerfd_gettime(99, &setting));
  SHOW(timerfd_gettime(file, BAD));
}

BEHAVIOUR(event_arguments) {
  char byte;
  SHOW(eventfd(0, 77));
  SHOW(epoll_create(0));
  SHOW(epoll_create1(77));
  const int set = epoll_create1(0);
  struct epoll_event event = {0};
  SHOW(epoll_ctl(set, EPOLL_CTL_ADD, set, &event));
  SHOW(epoll_ctl(set, EPOLL_CTL_ADD, 99, &event));
  SHOW(epoll_ctl(99, EPOLL_CTL_ADD, 1, &event));
  SHOW(epoll_ctl(1, EPOLL_CTL_ADD, set, &event));
  SHOW(epoll_ctl(set, EPOLL_CTL_ADD, make_file("file", ""), &event));
  SHOW(epoll_ctl(set, EPOLL_CTL_ADD, 1, BAD));
  SHOW(epoll_wait(set, &event, 0, 0));
  SHOW(epoll_wait(set, &event, -1, 0));
  SHOW(epoll_wait(1, &event, 1, 0));
  SHOW(epoll_wait(99, &event, 1, 0));
  SHOW(inotify_init1(77));
  const int watch = inotify_init1(IN_NONBLOCK);
  SHOW(inotify_add_watch(watch, "missing", IN_ALL_EVENTS));
  SHOW(inotify_add_watch(watch, ".", 0));
  SHOW(inotify_add_watch(1, ".", IN_ALL_EVENTS));
  SHOW(inotify_add_watch(99, ".", IN_ALL_EVENTS));
  SHOW(inotify_add_watch(watch, BAD, IN_ALL_EVENTS));
  SHOW(inotify_rm_watch(watch, 77));
  SHOW(inotify_rm_watch(1, 1));
  SHOW(read(watch, &byte, 1));
  sigset_t signals;
  sigemptyset(&signals);
  SHOW(signalfd(-1, &signals, 77));
  SHOW(signalfd(1, &signals, 0));
  SHOW(signalfd(99, &signals, 0));
  SHOW(syscall(SYS_signalfd4, -1, &signals, 4, 0));
  SHOW(syscall(SYS_signalfd4, -1, BAD, 8, 0));
}

BEHAVIOUR(pipe_arguments) {
  int ends[2];
  SHOW(syscall(SYS_pipe, BAD));
  SHOW(pipe2(ends, 77));
  SHOW(pipe2(ends, O_CLOEXEC | O_NONBLOCK));
  SHOW(fcntl(ends[0], F_SETPIPE_SZ, -1));
  SHOW(fcntl(ends[0], F_SETPIPE_SZ, 0));
  SHOW(fcntl(ends[0], F_GETPIPE_SZ));
  SHOW(fcntl(1, F_GETPIPE_SZ) > 0 || errno == EBADF ? 1 : 0);
  SHOW(fcntl(ends[0], 7777));
  SHOW(write(ends[0], "x", 1));
  char byte;
  SHOW(read(ends[1], &byte, 1));
  SHOW(read(ends[0], &byte, 1));
  SHOW(tee(ends[0], ends[1], 1, 0));
  SHOW(splice(ends[0], NULL, ends[1], NULL, 1, 77777));
}

BEHAVIOUR(socket_arguments) {
  int pair[2];
  SHOW(socket(77, SOCK_STREAM, 0));
  SHOW(socket(AF_UNIX, 77, 0));
  SHOW(socket(AF_UNIX, SOCK_STREAM, 77));
  SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, BAD));
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "socket"};
  socklen_t size = sizeof(name);
  SHOW(bind(99, (struct sockaddr*)&name, size));
  SHOW(bind(1, (struct sockaddr*)&name, size));
  SHOW(bind(pair[0], BAD, size));
  SHOW(bind(pair[0], (struct sockaddr*)&name, 200));
  const int socket_file = socket(AF_UNIX, SOCK_STREAM, 0);
  SHOW(listen(99, 1));
  SHOW(listen(1, 1));
  SHOW(listen(pair[0], 1));
  SHOW(accept(socket_file, NULL, NULL));
  SHOW(accept(99, NULL, NULL));
  SHOW(accept(1, NULL, NULL));
  SHOW(accept4(socket_file, NULL, NULL, 77));
  SHOW(connect(socket_file, (struct sockaddr*)&name, size));
  SHOW(connect(99, (struct sockaddr*)&name, size));
  SHOW(connect(1, (struct sockaddr*)&name, size));
  SHOW(connect(socket_file, BAD, size));
  SHOW(shutdown(pair[0], 77));
  SHOW(shutdown(socket_file, SHUT_RD));
  SHOW(shutdown(99, SHUT_RD));
  SHOW(shutdown(1, SHUT_RD));
  SHOW(getsockname(99, (struct sockaddr*)&name, &size));
  SHOW(getsockname(1, (struct sockaddr*)&name, &size));
  SHOW(getsockname(pair[0], (struct sockaddr*)&name, BAD));
  SHOW(getpeername(socket_file, (struct sockaddr*)&name, &size));
  int value = 0;
  size = sizeof(value);
  SHOW(getsockopt(pair[0], SOL_SOCKET, 7777, &value, &size));
  SHOW(getsockopt(pair[0], 7777, SO_TYPE, &value, &size));
  SHOW(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, BAD, &size));
  SHOW(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &value, BAD));
  SHOW(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &value, 1));
  SHOW(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, BAD, 4));
  SHOW(setsockopt(pair[0], SOL_SOCKET, 7777, &value, 4));
  SHOW(setsockopt(1, SOL_SOCKET, SO_SNDBUF, &value, 4));
  SHOW(send(pair[0], BAD, 1, 0));
  SHOW(send(socket_file, "x", 1, MSG_NOSIGNAL));
  SHOW(recv(pair[0], &value, 1, MSG_DONTWAIT));
  SHOW(recv(socket_file, &value, 1, 0));
  SHOW(recv(1, &value, 1, 0));
}

BEHAVIOUR(limit_arguments) {
  struct rlimit limit = {2, 1};
  SHOW(setrlimit(RLIMIT_NOFILE, &limit));
  SHOW(setrlimit(99, &limit));
  SHOW(syscall(SYS_getrlimit, RLIMIT_NOFILE, BAD));
  SHOW(syscall(SYS_setrlimit, RLIMIT_NOFILE, BAD));
  SHOW(syscall(SYS_prlimit64, -1, RLIMIT_NOFILE, NULL, &limit));
  SHOW(getpriority(PRIO_PROCESS, (id_t)-1));
  SHOW(setpriority(77, 0, 0));
  SHOW(setpriority(PRIO_PROCESS, 1 << 29, 0));
  SHOW(sched_setscheduler(-1, SCHED_OTHER, BAD));
  SHOW(sched_setscheduler(0, 77, BAD));
  struct sched_param parameter = {0};
  SHOW(sched_setscheduler(0, 77, &parameter));
  SHOW(sched_setscheduler(0, SCHED_FIFO, &parameter));
  SHOW(sched_getparam(0, NULL));
  SHOW(sched_getparam(-1, &parameter));
  SHOW(sched_getparam(0, BAD));
  SHOW(sched_setparam(0, NULL));
  SHOW(sched_getscheduler(-1));
  SHOW(sched_rr_get_interval(-1, BAD));
  SHOW(syscall(SYS_ioprio_get, 77, 0));
  SHOW(syscall(SYS_ioprio_set, 1, 0, 7 << 13));
  SHOW(syscall(SYS_ioprio_set, 1, 1 << 29, 2 << 13));
}

BEHAVIOUR(prctl_arguments) {
  SHOW(prctl(PR_SET_NAME, BAD));
  SHOW(prctl(PR_GET_NAME, BAD));
  SHOW(prctl(PR_SET_PDEATHSIG, -1));
  SHOW(prctl(PR_GET_PDEATHSIG, BAD));
  SHOW(prctl(PR_SET_DUMPABLE, 2));
  SHOW(prctl(PR_SET_KEEPCAPS, 2));
  SHOW(prctl(PR_SET_TIMING, 77));
  SHOW(prctl(PR_CAPBSET_READ, 77));
  SHOW(prctl(PR_CAPBSET_DROP, 77));
  SHOW(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
  SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
  SHOW(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0));
  SHOW(prctl(PR_SET_THP_DISABLE, 1, 1, 0, 0));
  SHOW(prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0));
  SHOW(prctl(PR_CAP_AMBIENT, 77, 0, 0, 0));
  SHOW(prctl(PR_GET_SECUREBITS));
  SHOW(prctl(PR_SET_SECCOMP, 77, 0));
  SHOW(prctl(PR_GET_CHILD_SUBREAPER, BAD));
}

BEHAVIOUR(identity_arguments) {
  SHOW(setgroups(65537, BAD));
  SHOW(setgroups(1, BAD));
  SHOW(getgroups(-1, BAD));
  gid_t groups[2] = {5, 7};
  SHOW(setgroups(2, groups));
  SHOW(getgroups(0, NULL));
  SHOW(getgroups(1, groups));
  SHOW(getgroups(2, BAD));
  SHOW(syscall(SYS_getresuid, BAD, BAD, BAD));
  SHOW(setuid((uid_t)-1));
  SHOW(setgid((gid_t)-1));
  SHOW(setfsuid((uid_t)-1));
  SHOW(uname(BAD));
  SHOW(syscall(SYS_sysinfo, BAD));
  SHOW(syscall(SYS_getcpu, BAD, NULL, NULL));
  SHOW(sethostname(BAD, 4));
  SHOW(sethostname("x", 65));
  SHOW(personality(0));
  const pid_t child = start_child();
  if (child == 0) {
    become_user();
    SHOW(setuid(0));
    SHOW(setgid(0));
    SHOW(setreuid(0, 1000));
    SHOW(setresuid(1000, 0, 1000));
    SHOW(setgroups(0, NULL));
    SHOW(sethostname("x", 1));
    SHOW(chroot("."));
    SHOW(syscall(SYS_acct, "file"));
    SHOW(syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL));
    SHOW(syscall(SYS_swapon, "file", 0));
    SHOW(nice(-1));
    SHOW(mlockall(MCL_CURRENT) == 0 || errno == ENOMEM || errno == EPERM ? 1 : 0);
    _exit(0);
  }
  say_end("user", child);
}

BEHAVIOUR(futex_arguments) {
  uint32_t word = 5;
  struct timespec time = {0, 1000000000};
  SHOW(syscall(SYS_futex, &word, FUTEX_WAIT, 4, NULL));
  SHOW(syscall(SYS_futex, &word, FUTEX_WAIT, 5, &time));
  time = (struct timespec){0, 1000000};
  SHOW(syscall(SYS_futex, &word, FUTEX_WAIT, 5, &time));
  SHOW(syscall(SYS_futex, (char*)&word + 1, FUTEX_WAIT, 5, NULL));
  SHOW(syscall(SYS_futex, BAD, FUTEX_WAIT, 5, NULL));
  SHOW(syscall(SYS_futex, &word, FUTEX_WAKE, 1));
  SHOW(syscall(SYS_futex, &word, 77, 0));
  SHOW(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 5, NULL, NULL, 0));
  SHOW(syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE, 1, 1, &word, 4));
  SHOW(syscall(SYS_futex, &word, FUTEX_WAIT, 5, BAD));
}

BEHAVIOUR(vector_futex_arguments) {
  struct {
    uint64_t value;
    uint64_t address;
    uint32_t flags;
    uint32_t reserved;
  } waiters[2];
  uint32_t words[2] = {5, 6};
  memset(waiters, 0, sizeof(waiters));
  for (int i = 0; i < 2; ++i) {
    waiters[i].value = words[i];
    waiters[i].address = (uint64_t)(uintptr_t)&words[i];
    waiters[i].flags = 2 | 128;
  }
  struct timespec time = {0, 1};
  SHOW(syscall(449, waiters, 0, 0, NULL, 0));
  SHOW(syscall(449, waiters, 129, 0, NULL, 0));
  SHOW(syscall(449, waiters, 2, 1, NULL, 0));
  SHOW(syscall(449, NULL, 2, 0, NULL, 0));
  SHOW(syscall(449, BAD, 2, 0, NULL, 0));
  SHOW(syscall(449, waiters, 2, 0, &time, 77));
  SHOW(syscall(449, waiters, 2, 0, &time, CLOCK_MONOTONIC));
  SHOW(syscall(449, waiters, 2, 0, &time, CLOCK_REALTIME));
  SHOW(syscall(449, waiters, 2, 0, BAD, CLOCK_MONOTONIC));
  waiters[1].value = 7;
  SHOW(syscall(449, waiters, 2, 0, &time, CLOCK_MONOTONIC));
  waiters[1].value = 6;
  waiters[1].reserved = 1;
  SHOW(syscall(449, waiters, 2, 0, &time, CLOCK_MONOTONIC));
  waiters[1].reserved = 0;
  waiters[1].flags = 0;
  SHOW(syscall(449, waiters, 2, 0, &time, CLOCK_MONOTONIC));
  waiters[1].flags = 2;
  waiters[1].address = 8;
  SHOW(syscall(449, waiters, 2, 0, &time, CLOCK_MONOTONIC));
}

BEHAVIOUR(handles) {
  struct {
    unsigned size;
    int type;
    char bytes[128];
  } handle = {.size = 0};
  int mount = 0;
  SHOW(syscall(SYS_open_by_handle_at, 99, &handle, O_RDONLY));
  SHOW(syscall(SYS_name_to_handle_at, 99, "file", &handle, &mount, 0));
  SHOW(syscall(SYS_name_to_handle_at, AT_FDCWD, "missing", &handle, &mount, 0));
  SHOW(syscall(SYS_name_to_handle_at, AT_FDCWD, ".", &handle, &mount, 0x20000));
}
