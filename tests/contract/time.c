// Clocks, sleeping and timers: clock_gettime(2), nanosleep(2), setitimer(2), timer_create(2),
// timerfd_create(2).
#include <poll.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>

#include "contract.h"

BEHAVIOUR(clocks) {
  struct timespec now;
  SHOW(clock_gettime(CLOCK_REALTIME, &now));
  SHOW(clock_gettime(CLOCK_MONOTONIC, &now));
  SHOW(clock_gettime(CLOCK_MONOTONIC_RAW, &now));
  SHOW(clock_gettime(CLOCK_MONOTONIC_COARSE, &now));
  SHOW(clock_gettime(CLOCK_BOOTTIME, &now));
  SHOW(clock_gettime(CLOCK_TAI, &now));
  SHOW(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now));
  SHOW(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now));
  SHOW(clock_gettime(77, &now));
  SHOW(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, (struct timespec*)8));
}

BEHAVIOUR(resolution) {
  struct timespec step;
  SHOW(clock_getres(CLOCK_MONOTONIC, &step));
  say("%ld ns", (long)step.tv_nsec);
  SHOW(clock_getres(CLOCK_REALTIME, NULL));
  SHOW(clock_getres(77, &step));
}

BEHAVIOUR(clocks_agree) {
  struct timespec real;
  struct timeval day;
  clock_gettime(CLOCK_REALTIME, &real);
  gettimeofday(&day, NULL);
  FACT(day.tv_sec - real.tv_sec <= 1);
  FACT(time(NULL) - day.tv_sec <= 1);
  FACT(real.tv_sec > 1600000000);
  struct timespec direct;
  MUST(syscall(SYS_clock_gettime, CLOCK_REALTIME, &direct));
  FACT(direct.tv_sec - real.tv_sec <= 1 && direct.tv_sec >= real.tv_sec);
}

BEHAVIOUR(monotonic_never_goes_back) {
  struct timespec last = {0, 0};
  int back = 0;
  for (int i = 0; i < 20000; ++i) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    back += now.tv_sec < last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec < last.tv_nsec);
    last = now;
  }
  say("back %d", back);
}

BEHAVIOUR(sleeps_long_enough) {
  const long start = now_ms();
  sleep_ms(30);
  FACT(now_ms() - start >= 30);
  struct timespec end;
  clock_gettime(CLOCK_MONOTONIC, &end);
  end.tv_sec += (end.tv_nsec + 30000000) / 1000000000;
  end.tv_nsec = (end.tv_nsec + 30000000) % 1000000000;
  SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL));
  FACT(now_ms() - start >= 60);
  SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL));
}

BEHAVIOUR(bad_sleeps) {
  struct timespec rest = {0, 1000000000};
  SHOW(nanosleep(&rest, NULL));
  rest.tv_nsec = -1;
  SHOW(nanosleep(&rest, NULL));
  rest = (struct timespec){-1, 0};
  SHOW(nanosleep(&rest, NULL));
  SHOW(nanosleep((struct timespec*)8, NULL));
  rest = (struct timespec){0, 0};
  SHOW(nanosleep(&rest, NULL));
  say("%s", error_name(clock_nanosleep(77, 0, &rest, NULL)));
}

// Time on the processor counts work, not sleep.
BEHAVIOUR(processor_time) {
  struct timespec before;
  struct timespec after;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  // A machine that is held up for a while counts that for whoever runs.
  sleep_ms(600);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  FACT((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 < 500);
  struct tms used;
  FACT(times(&used) > 0);
  for (volatile long i = 0; i < 20000000; ++i) {
  }
  struct timespec later;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &later);
  FACT(later.tv_sec > after.tv_sec || later.tv_nsec > after.tv_nsec);
}

BEHAVIOUR(alarm_rings) {
  on_signal(SIGALRM, count_signal, 0);
  SHOW(alarm(100));
  FACT(alarm(0) >= 99);
  SHOW(alarm(0));
  // Blocked until it is waited for: it may ring before.
  sigset_t set;
  sigset_t none;
  sigemptyset(&set);
  sigemptyset(&none);
  sigaddset(&set, SIGALRM);
  MUST(sigprocmask(SIG_BLOCK, &set, NULL));
  const struct itimerval soon = {{0, 0}, {0, 20000}};
  SHOW(setitimer(ITIMER_REAL, &soon, NULL));
  SHOW(sigsuspend(&none));
  say("rang %d", (int)signal_count);
  struct itimerval now;
  SHOW(getitimer(ITIMER_REAL, &now));
  say("left %ld", (long)(now.it_value.tv_sec + now.it_value.tv_usec));
}

BEHAVIOUR(alarm_kills) {
  const pid_t child = start_child();
  if (child == 0) {
    const struct itimerval soon = {{0, 0}, {0, 20000}};
    setitimer(ITIMER_REAL, &soon, NULL);
    for (;;) {
    }
  }
  say_end("child", child);
}

BEHAVIOUR(interval_repeats) {
  on_signal(SIGALRM, count_signal, SA_RESTART);
  const struct itimerval often = {{0, 5000}, {0, 5000}};
  SHOW(setitimer(ITIMER_REAL, &often, NULL));
  while (signal_count < 5) {
    pause();
  }
  struct itimerval old;
  const struct itimerval none = {{0, 0}, {0, 0}};
  SHOW(setitimer(ITIMER_REAL, &none, &old));
  say("interval %ld", (long)old.it_interval.tv_usec);
  SHOW(setitimer(77, &none, NULL));
  const struct itimerval bad = {{0, 0}, {0, 1000000}};
  SHOW(setitimer(ITIMER_REAL, &bad, NULL));
}

// ITIMER_VIRTUAL and ITIMER_PROF count time on the processor.
BEHAVIOUR(virtual_interval) {
  on_signal(SIGVTALRM, count_signal, 0);
  on_signal(SIGPROF, count_signal, 0);
  const struct itimerval soon = {{0, 0}, {0, 20000}};
  MUST(setitimer(ITIMER_VIRTUAL, &soon, NULL));
  while (signal_count < 1) {
  }
  say("%s", signal_name(last_signal));
  MUST(setitimer(ITIMER_PROF, &soon, NULL));
  while (signal_count < 2) {
  }
  say("%s", signal_name(last_signal));
}

// Alarms are not inherited by fork, and stay over execve.
BEHAVIOUR(alarm_and_fork) {
  MUST(alarm(100));
  const pid_t child = start_child();
  if (child == 0) {
    SHOW(alarm(0));
    _exit(0);
  }
  say_end("child", child);
  FACT(alarm(0) > 0);
  const pid_t other = start_child();
  if (other == 0) {
    const struct itimerval soon = {{0, 0}, {0, 100000}};
    MUST(setitimer(ITIMER_REAL, &soon, NULL));
    execl("/bin/busybox", "busybox", "sleep", "9", (char*)NULL);
  }
  say_end("program", other);
}

static siginfo_t seen;
static void keep_info(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  seen = *info;
}

BEHAVIOUR(timer_signals) {
  struct sigaction action = {.sa_sigaction = keep_info, .sa_flags = SA_SIGINFO};
  MUST(sigaction(SIGUSR1, &action, NULL));
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  event.sigev_value.sival_int = 77;
  timer_t timer;
  SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
  // Blocked until it is waited for: it may come before.
  sigset_t set;
  sigset_t none;
  sigemptyset(&set);
  sigemptyset(&none);
  sigaddset(&set, SIGUSR1);
  MUST(sigprocmask(SIG_BLOCK, &set, NULL));
  const struct itimerspec soon = {{0, 0}, {0, 10000000}};
  SHOW(timer_settime(timer, 0, &soon, NULL));
  SHOW(sigsuspend(&none));
  FACT(seen.si_code == SI_TIMER);
  say("value %d, overrun %d", seen.si_value.sival_int, timer_getoverrun(timer));
  SHOW(timer_delete(timer));
  SHOW(timer_create(77, &event, &timer));
}

// Expirations that were not delivered are counted.
BEHAVIOUR(timer_overruns) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  MUST(sigprocmask(SIG_BLOCK, &set, NULL));
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  timer_t timer;
  MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
  const struct itimerspec often = {{0, 1000000}, {0, 1000000}};
  MUST(timer_settime(timer, 0, &often, NULL));
  sleep_ms(50);
  siginfo_t info;
  MUST(sigwaitinfo(&set, &info));
  FACT(info.si_overrun >= 20);
  const struct itimerspec none = {{0, 0}, {0, 0}};
  struct itimerspec old;
  SHOW(timer_settime(timer, 0, &none, &old));
  say("interval %ld", (long)old.it_interval.tv_nsec);
}

BEHAVIOUR(timer_calls_thread) {
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  timer_t timer;
  SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
  const struct itimerspec late = {{0, 0}, {1000, 0}};
  MUST(timer_settime(timer, 0, &late, NULL));
  struct itimerspec left;
  SHOW(timer_gettime(timer, &left));
  FACT(left.it_value.tv_sec >= 998);
}

BEHAVIOUR(timerfd_expires) {
  const int file = (int)DOES(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  uint64_t count = 0;
  SHOW(read(file, &count, 8));
  const struct itimerspec soon = {{0, 0}, {0, 10000000}};
  SHOW(timerfd_settime(file, 0, &soon, NULL));
  struct pollfd ready = {file, POLLIN, 0};
  SHOW(poll(&ready, 1, 5000));
  SHOW(read(file, &count, 4));
  SHOW(read(file, &count, 8));
  say("count %ld", (long)count);
  SHOW(read(file, &count, 8));
}

BEHAVIOUR(timerfd_counts) {
  const int file = (int)MUST(timerfd_create(CLOCK_MONOTONIC, 0));
  const struct itimerspec often = {{0, 1000000}, {0, 1000000}};
  MUST(timerfd_settime(file, 0, &often, NULL));
  sleep_ms(40);
  uint64_t count = 0;
  SHOW(read(file, &count, 8));
  FACT(count >= 30);
  struct itimerspec now;
  SHOW(timerfd_gettime(file, &now));
  say("interval %ld", (long)now.it_interval.tv_nsec);
  SHOW(timerfd_settime(0, 0, &often, NULL));
  SHOW(timerfd_create(77, 0));
  SHOW(write(file, &count, 8));
}

BEHAVIOUR(timer_errors) {
  int timer = 0;
  struct sigevent event = {.sigev_notify = 77, .sigev_signo = SIGUSR1};
  SHOW(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer));
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = 99;
  SHOW(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer));
  SHOW(syscall(SYS_timer_create, CLOCK_MONOTONIC, (void*)8, &timer));
  SHOW(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, (void*)8));
  SHOW(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &timer));
  struct itimerspec setting = {{0, 0}, {0, 1000000000}};
  SHOW(syscall(SYS_timer_settime, timer, 0, &setting, NULL));
  SHOW(syscall(SYS_timer_settime, timer, 0, NULL, NULL));
  SHOW(syscall(SYS_timer_settime, timer, 0, (void*)8, NULL));
  SHOW(syscall(SYS_timer_gettime, timer, (void*)8));
  SHOW(syscall(SYS_timer_delete, timer));
  SHOW(syscall(SYS_timer_delete, timer));
  SHOW(syscall(SYS_timer_gettime, timer, &setting));
  SHOW(syscall(SYS_timer_getoverrun, timer));
}

// Timers that count processor time.
BEHAVIOUR(processor_timer) {
  on_signal(SIGUSR1, count_signal, 0);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  timer_t timer;
  MUST(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer));
  const struct itimerspec soon = {{0, 0}, {0, 20000000}};
  MUST(timer_settime(timer, 0, &soon, NULL));
  while (signal_count == 0) {
  }
  say("%s", signal_name(last_signal));
  struct itimerspec left;
  MUST(timer_gettime(timer, &left));
  say("left %ld", left.it_value.tv_sec + left.it_value.tv_nsec);
}

BEHAVIOUR(clocks_of_processes) {
  clockid_t clock;
  struct timespec now;
  say("%s", error_name(clock_getcpuclockid(0, &clock)));
  SHOW(clock_gettime(clock, &now));
  say("%s", error_name(clock_getcpuclockid(getpid(), &clock)));
  SHOW(clock_gettime(clock, &now));
  say("%s", error_name(clock_getcpuclockid(1 << 29, &clock)));
  say("%s", error_name(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &now, NULL)));
  SHOW(clock_getres(CLOCK_PROCESS_CPUTIME_ID, &now));
}

// A parent that has waited for a child knows what it used.
BEHAVIOUR(time_of_children) {
  const pid_t child = start_child();
  if (child == 0) {
    for (volatile long i = 0; i < 50000000; ++i) {
    }
    _exit(0);
  }
  struct rusage usage;
  MUST(getrusage(RUSAGE_CHILDREN, &usage));
  FACT(usage.ru_utime.tv_sec + usage.ru_utime.tv_usec == 0);
  struct rusage waited;
  MUST(wait4(child, NULL, 0, &waited));
  MUST(getrusage(RUSAGE_CHILDREN, &usage));
  FACT(waited.ru_utime.tv_sec * 1000000 + waited.ru_utime.tv_usec > 5000);
  FACT(usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec > 5000);
  SHOW(getrusage(77, &usage));
  SHOW(getrusage(RUSAGE_THREAD, &usage));
}

// Many timers, far shorter than anybody can follow, leave everybody else their time.
BEHAVIOUR(many_short_timers) {
  const pid_t child = start_child();
  if (child == 0) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    const struct itimerspec often = {{0, 1}, {0, 1}};
    for (int i = 0; i < 200; ++i) {
      timer_t timer;
      MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
      MUST(timer_settime(timer, 0, &often, NULL));
    }
    sleep_ms(100);
    siginfo_t info;
    bool all_overran = true;
    for (int i = 0; i < 200; ++i) {
      const struct timespec no_time = {0, 0};
      MUST(sigtimedwait(&set, &info, &no_time));
      all_overran = all_overran && info.si_overrun > 1000;
    }
    FACT(all_overran);
    _exit(0);
  }
  say_end("child", child);
}

// A timer whose signal is ignored goes on; one whose signal is dropped, too.
BEHAVIOUR(ignored_timer_goes_on) {
  const int signal = SIGRTMIN;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal};
  const struct itimerspec often = {{0, 5000000}, {0, 5000000}};
  MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
  on_signal(signal, SIG_IGN, 0);
  MUST(timer_settime(timer, 0, &often, NULL));
  sleep_ms(30);
  on_signal(signal, count_signal, 0);
  while (signal_count < 3) {
    pause();
  }
  FACT(signal_count >= 3);
  struct itimerspec left;
  MUST(timer_gettime(timer, &left));
  FACT(left.it_value.tv_nsec > 0 && left.it_value.tv_nsec <= 5000000);
  SHOW(timer_delete(timer));
}

// One that tells nobody can be looked at.
BEHAVIOUR(silent_timer) {
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  const struct itimerspec often = {{0, 1000000}, {0, 1000000}};
  MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
  MUST(timer_settime(timer, 0, &often, NULL));
  sleep_ms(5);
  struct itimerspec left;
  MUST(timer_gettime(timer, &left));
  FACT(left.it_value.tv_nsec > 0 && left.it_value.tv_nsec <= 1000000);
  const struct itimerspec once = {{0, 0}, {0, 1000000}};
  MUST(timer_settime(timer, 0, &once, NULL));
  sleep_ms(5);
  MUST(timer_gettime(timer, &left));
  say("%ld s, %ld ns left", (long)left.it_value.tv_sec, left.it_value.tv_nsec);
}
