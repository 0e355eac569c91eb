#define _GNU_SOURCE
#include <linux/futex.h>
#include <poll.h>
#include <stdint.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

// Clocks go on, sleeps last as long as they should and not much longer.

static int64_t now(clockid_t clock) {
  struct timespec time;
  CHECK(clock_gettime(clock, &time) == 0);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int64_t since(int64_t start) {
  return now(CLOCK_MONOTONIC) - start;
}

static const int64_t kMillisecond = 1000000;

static int lasted(int64_t start, int64_t milliseconds) {
  const int64_t elapsed = since(start);
  // The upper bound only tells a sleep from a hang: the host may be busy.
  return elapsed >= milliseconds * kMillisecond && elapsed < 10000 * kMillisecond;
}

int main(void) {
  int64_t last = 0;
  for (int i = 0; i < 1000; ++i) {
    const int64_t time = now(CLOCK_MONOTONIC);
    if (time < last) {
      CHECK(!"the monotonic clock went back");
    }
    last = time;
  }
  CHECK(last > 0);
  struct timeval day;
  CHECK(gettimeofday(&day, NULL) == 0);
  const int64_t seconds = time(NULL);
  CHECK(seconds - day.tv_sec >= 0 && seconds - day.tv_sec <= 1);
  CHECK(now(CLOCK_REALTIME) / 1000000000 - seconds <= 1);
  struct timespec resolution;
  CHECK(clock_getres(CLOCK_MONOTONIC, &resolution) == 0 && resolution.tv_sec == 0);

  int64_t start = now(CLOCK_MONOTONIC);
  const struct timespec interval = {0, 20 * kMillisecond};
  CHECK(nanosleep(&interval, NULL) == 0);
  CHECK(lasted(start, 20));
  start = now(CLOCK_MONOTONIC);
  const int64_t end = start + 15 * kMillisecond;
  const struct timespec absolute = {end / 1000000000, end % 1000000000};
  CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &absolute, NULL) == 0);
  CHECK(lasted(start, 15));
  CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &absolute, NULL) == 0);

  start = now(CLOCK_MONOTONIC);
  CHECK(poll(NULL, 0, 10) == 0);
  CHECK(lasted(start, 10));
  struct pollfd output = {1, POLLOUT | POLLIN, 0};
  CHECK(poll(&output, 1, 1000) == 1 && output.revents == POLLOUT);
  struct pollfd bad = {77, POLLIN, 0};
  CHECK(poll(&bad, 1, -1) == 1 && bad.revents == POLLNVAL);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(1, &set);
  CHECK(select(2, NULL, &set, NULL, NULL) == 1 && FD_ISSET(1, &set));
  start = now(CLOCK_MONOTONIC);
  struct timeval brief = {0, 10000};
  CHECK(select(0, NULL, NULL, NULL, &brief) == 0);
  CHECK(lasted(start, 10));

  uint32_t word = 1;
  start = now(CLOCK_MONOTONIC);
  const struct timespec wait = {0, 10 * kMillisecond};
  CHECK_ERROR(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, &wait), ETIMEDOUT);
  CHECK(lasted(start, 10));
  CHECK_ERROR(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 2, &wait), EAGAIN);
  CHECK(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1) == 0);
  return finish();
}
