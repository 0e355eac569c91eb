#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

// Volatile, so that the compiler does not see through it.
static void* volatile kBadPointer = (void*)8;

// Pipes, events as descriptors, and waiting for them, as far as one thread sees them.

static char big[70000];

static void test_pipe(void) {
  int ends[2];
  char buffer[100];
  CHECK(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  CHECK(fcntl(ends[0], F_GETFD) == FD_CLOEXEC &&
        fcntl(ends[1], F_GETFL) == (O_WRONLY | O_NONBLOCK));
  CHECK_ERROR(read(ends[0], buffer, 1), EAGAIN);
  CHECK_ERROR(read(ends[1], buffer, 1), EBADF);
  CHECK_ERROR(write(ends[0], buffer, 1), EBADF);
  CHECK(write(ends[1], "hello", 5) == 5);
  struct iovec parts[] = {{"wor", 3}, {NULL, 0}, {"ld", 2}};
  CHECK(writev(ends[1], parts, 3) == 5);
  int count = 0;
  CHECK(ioctl(ends[0], FIONREAD, &count) == 0 && count == 10);
  CHECK(read(ends[0], buffer, 100) == 10 && memcmp(buffer, "helloworld", 10) == 0);
  CHECK(read(ends[0], buffer, 0) == 0);
  CHECK(fcntl(ends[0], F_GETPIPE_SZ) == 65536);
  CHECK(write(ends[1], big, sizeof(big)) == 65536);
  CHECK_ERROR(write(ends[1], "x", 1), EAGAIN);
  CHECK_ERROR(fcntl(ends[1], F_SETPIPE_SZ, 4096), EBUSY);
  CHECK(fcntl(ends[1], F_SETPIPE_SZ, 65537) == 131072);
  CHECK(write(ends[1], big, 4096) == 4096);
  for (int left = 65536 + 4096; left > 0;) {
    const long got = read(ends[0], big, sizeof(big));
    CHECK(got > 0);
    left -= got > 0 ? (int)got : left;
  }
  // A write of up to PIPE_BUF goes in whole or not at all.
  CHECK(fcntl(ends[1], F_SETPIPE_SZ, 1) == 4096);
  CHECK(write(ends[1], big, 4000) == 4000);
  CHECK_ERROR(write(ends[1], big, 100), EAGAIN);
  CHECK_ERROR(lseek(ends[0], 0, SEEK_SET), ESPIPE);
  CHECK_ERROR(pread(ends[0], buffer, 1, 0), ESPIPE);
  CHECK_ERROR(read(ends[0], kBadPointer, 10), EFAULT);
  struct stat status;
  CHECK(fstat(ends[0], &status) == 0 && S_ISFIFO(status.st_mode));
  close(ends[1]);
  CHECK(read(ends[0], big, sizeof(big)) == 4000);
  CHECK(read(ends[0], big, sizeof(big)) == 0);
  close(ends[0]);
  CHECK_ERROR(pipe2(ends, 1), EINVAL);
  CHECK_ERROR(pipe(kBadPointer), EFAULT);
  signal(SIGPIPE, SIG_IGN);
  CHECK(pipe(ends) == 0);
  close(ends[0]);
  CHECK_ERROR(write(ends[1], "x", 1), EPIPE);
  CHECK_ERROR(fcntl(1000, F_GETPIPE_SZ), EBADF);
  close(ends[1]);
}

static void test_splice(void) {
  int a[2], b[2];
  char buffer[100];
  CHECK(pipe(a) == 0 && pipe(b) == 0);
  CHECK(write(a[1], "0123456789", 10) == 10);
  CHECK(tee(a[0], b[1], 4, 0) == 4);
  CHECK(read(b[0], buffer, 100) == 4 && memcmp(buffer, "0123", 4) == 0);
  CHECK(splice(a[0], NULL, b[1], NULL, 6, 0) == 6);
  CHECK(read(b[0], buffer, 100) == 6 && memcmp(buffer, "012345", 6) == 0);
  CHECK(read(a[0], buffer, 100) == 4 && memcmp(buffer, "6789", 4) == 0);
  CHECK_ERROR(splice(a[0], NULL, b[1], NULL, 6, SPLICE_F_NONBLOCK), EAGAIN);
  CHECK_ERROR(splice(a[0], NULL, a[1], NULL, 6, 0), EINVAL);
  CHECK_ERROR(tee(a[0], 1, 6, 0), EINVAL);
  int file = open("/fixed/numbers", O_RDONLY);
  loff_t offset = 4990;
  CHECK(splice(file, &offset, a[1], NULL, 100, 0) == 10 && offset == 5000);
  CHECK(splice(file, NULL, a[1], NULL, 5, 0) == 5 && lseek(file, 0, SEEK_CUR) == 5);
  CHECK(read(a[0], buffer, 100) == 15 && memcmp(buffer, "012345678901234", 15) == 0);
  CHECK_ERROR(splice(file, NULL, 1, NULL, 5, 0), EINVAL);
  struct iovec part = {"gift", 4};
  CHECK(vmsplice(a[1], &part, 1, 0) == 4);
  CHECK(read(a[0], buffer, 100) == 4 && memcmp(buffer, "gift", 4) == 0);
  close(file);
  close(a[0]), close(a[1]), close(b[0]), close(b[1]);
}

static void test_poll(void) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  struct pollfd set[] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}, {-1, POLLIN, 7}, {999, 0, 0}};
  CHECK(poll(set, 3, 0) == 1 && set[0].revents == 0 && set[1].revents == POLLOUT &&
        set[2].revents == 0);
  CHECK(poll(set, 4, 1000) == 2 && set[3].revents == POLLNVAL);
  CHECK(poll(set, 1, 20) == 0);
  CHECK(write(ends[1], "x", 1) == 1);
  CHECK(poll(set, 1, -1) == 1 && set[0].revents == POLLIN);
  fd_set in, out;
  FD_ZERO(&in);
  FD_ZERO(&out);
  FD_SET(ends[0], &in);
  FD_SET(ends[1], &out);
  struct timeval time = {5, 0};
  CHECK(select(ends[1] + 1, &in, &out, NULL, &time) == 2 && time.tv_sec >= 4);
  close(ends[1]);
  CHECK(poll(set, 1, 0) == 1 && set[0].revents == (POLLIN | POLLHUP));
  char byte;
  CHECK(read(ends[0], &byte, 1) == 1);
  set[0].events = 0;
  CHECK(poll(set, 1, 0) == 1 && set[0].revents == POLLHUP);
  CHECK_ERROR(select(ends[1] + 1, &in, &out, NULL, &time), EBADF);
  close(ends[0]);
  CHECK(pipe(ends) == 0);
  close(ends[0]);
  set[1].fd = ends[1];
  CHECK(poll(&set[1], 1, 0) == 1 && set[1].revents == (POLLOUT | POLLERR));
  close(ends[1]);
  CHECK_ERROR(poll(kBadPointer, 1, 0), EFAULT);
  struct timespec bad = {0, 1000000000};
  CHECK_ERROR(ppoll(set, 0, &bad, NULL), EINVAL);
}

static void test_events(void) {
  int event = eventfd(3, EFD_NONBLOCK);
  unsigned long value = 0;
  CHECK(read(event, &value, 8) == 8 && value == 3);
  CHECK_ERROR(read(event, &value, 8), EAGAIN);
  CHECK_ERROR(read(event, &value, 4), EINVAL);
  value = -2ul;
  CHECK(write(event, &value, 8) == 8);
  value = 1;
  CHECK_ERROR(write(event, &value, 8), EAGAIN);
  value = -1ul;
  CHECK_ERROR(write(event, &value, 8), EINVAL);
  struct pollfd set = {event, POLLIN | POLLOUT, 0};
  CHECK(poll(&set, 1, 0) == 1 && set.revents == POLLIN);
  close(event);
  event = eventfd(2, EFD_SEMAPHORE);
  CHECK(read(event, &value, 8) == 8 && value == 1);
  CHECK(read(event, &value, 8) == 8 && value == 1);
  close(event);
  CHECK_ERROR(eventfd(0, 77), EINVAL);

  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct itimerspec spec = {{0, 10000000}, {0, 10000000}};
  CHECK(timer >= 0 && timerfd_settime(timer, 0, &spec, NULL) == 0);
  CHECK_ERROR(read(timer, &value, 8), EAGAIN);
  set.fd = timer;
  CHECK(poll(&set, 1, 1000) == 1 && read(timer, &value, 8) == 8 && value >= 1);
  struct timespec nap = {0, 35000000};
  nanosleep(&nap, NULL);
  CHECK(read(timer, &value, 8) == 8 && value >= 3);
  CHECK(timerfd_gettime(timer, &spec) == 0 && spec.it_interval.tv_nsec == 10000000 &&
        spec.it_value.tv_nsec > 0 && spec.it_value.tv_nsec <= 10000000);
  struct itimerspec stop = {0}, old;
  CHECK(timerfd_settime(timer, 0, &stop, &old) == 0 && old.it_interval.tv_nsec == 10000000);
  CHECK(poll(&set, 1, 30) == 0);
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  struct itimerspec past = {{0, 0}, {now.tv_sec, now.tv_nsec + 1}};
  CHECK(timerfd_settime(timer, TFD_TIMER_ABSTIME, &past, NULL) == 0);
  CHECK(poll(&set, 1, 100) == 1 && read(timer, &value, 8) == 8 && value == 1);
  fcntl(timer, F_SETFL, 0);
  struct itimerspec once = {{0, 0}, {0, 20000000}};
  CHECK(timerfd_settime(timer, 0, &once, NULL) == 0 && read(timer, &value, 8) == 8 && value == 1);
  close(timer);
  CHECK_ERROR(timerfd_create(77, 0), EINVAL);
  CHECK_ERROR(timerfd_settime(0, 0, &once, NULL), EINVAL);

  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  int signals = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
  struct signalfd_siginfo record;
  CHECK(signals >= 0 && signalfd(signals, &mask, 0) == signals);
  CHECK_ERROR(read(signals, &record, sizeof(record)), EAGAIN);
  CHECK_ERROR(read(signals, &record, 8), EINVAL);
  CHECK_ERROR(signalfd(0, &mask, 0), EINVAL);
  close(signals);
}

static int wait_one(int set, struct epoll_event* event) {
  return epoll_wait(set, event, 1, 0);
}

static void test_epoll(void) {
  int ends[2], set = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {EPOLLIN, {.u64 = 42}}, got[4];
  CHECK(pipe(ends) == 0);
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event) == 0);
  CHECK_ERROR(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event), EEXIST);
  CHECK_ERROR(epoll_ctl(set, EPOLL_CTL_MOD, ends[1], &event), ENOENT);
  CHECK_ERROR(epoll_ctl(set, EPOLL_CTL_DEL, ends[1], &event), ENOENT);
  CHECK_ERROR(epoll_ctl(set, EPOLL_CTL_ADD, set, &event), EINVAL);
  CHECK_ERROR(epoll_ctl(ends[0], EPOLL_CTL_ADD, set, &event), EINVAL);
  CHECK_ERROR(epoll_ctl(set, EPOLL_CTL_ADD, 999, &event), EBADF);
  CHECK_ERROR(epoll_ctl(set, EPOLL_CTL_ADD, ends[1], NULL), EFAULT);
  CHECK_ERROR(epoll_ctl(set, 9, ends[0], &event), EINVAL);
  int file = open("/fixed/numbers", O_RDONLY);
  CHECK_ERROR(epoll_ctl(set, EPOLL_CTL_ADD, file, &event), EPERM);
  close(file);
  CHECK_ERROR(epoll_wait(set, got, 0, 0), EINVAL);
  CHECK(epoll_wait(set, got, 4, 0) == 0);
  CHECK(epoll_wait(set, got, 4, 20) == 0);
  CHECK(write(ends[1], "ab", 2) == 2);
  CHECK(epoll_wait(set, got, 4, -1) == 1 && got[0].events == EPOLLIN && got[0].data.u64 == 42);
  CHECK(wait_one(set, got) == 1);
  CHECK_ERROR(epoll_wait(set, kBadPointer, 4, 0), EFAULT);
  // Edges.
  event.events = EPOLLIN | EPOLLET;
  CHECK(epoll_ctl(set, EPOLL_CTL_MOD, ends[0], &event) == 0);
  CHECK(wait_one(set, got) == 1 && wait_one(set, got) == 0);
  CHECK(write(ends[1], "c", 1) == 1 && wait_one(set, got) == 1 && wait_one(set, got) == 0);
  char buffer[8];
  CHECK(read(ends[0], buffer, 1) == 1 && wait_one(set, got) == 0);
  // Once.
  event.events = EPOLLIN | EPOLLONESHOT;
  CHECK(epoll_ctl(set, EPOLL_CTL_MOD, ends[0], &event) == 0);
  CHECK(wait_one(set, got) == 1 && wait_one(set, got) == 0);
  CHECK(write(ends[1], "c", 1) == 1 && wait_one(set, got) == 0);
  CHECK(epoll_ctl(set, EPOLL_CTL_MOD, ends[0], &event) == 0 && wait_one(set, got) == 1);
  event.events = EPOLLIN;
  CHECK(epoll_ctl(set, EPOLL_CTL_MOD, ends[0], &event) == 0);
  // Nested.
  int outer = epoll_create(1);
  CHECK(epoll_ctl(outer, EPOLL_CTL_ADD, set, &event) == 0);
  CHECK_ERROR(epoll_ctl(set, EPOLL_CTL_ADD, outer, &event), ELOOP);
  CHECK(wait_one(outer, got) == 1);
  struct pollfd entry = {outer, POLLIN, 0};
  CHECK(poll(&entry, 1, 0) == 1 && entry.revents == POLLIN);
  CHECK(read(ends[0], buffer, 8) == 3);
  CHECK(poll(&entry, 1, 0) == 0);
  CHECK(wait_one(outer, got) == 0);
  CHECK(write(ends[1], "d", 1) == 1 && wait_one(outer, got) == 1);
  int chain[5] = {outer};
  for (int index = 1; index < 4; ++index) {
    chain[index] = epoll_create(1);
    CHECK(epoll_ctl(chain[index], EPOLL_CTL_ADD, chain[index - 1], &event) == 0);
  }
  chain[4] = epoll_create(1);
  CHECK_ERROR(epoll_ctl(chain[4], EPOLL_CTL_ADD, chain[3], &event), ELOOP);
  CHECK(wait_one(chain[3], got) == 1);
  // Hang-up, and the end of a file that is watched.
  close(ends[1]);
  CHECK(wait_one(set, got) == 1 && got[0].events == (EPOLLIN | EPOLLHUP));
  int copy = dup(ends[0]);
  close(ends[0]);
  CHECK(wait_one(set, got) == 1);
  close(copy);
  CHECK(wait_one(set, got) == 0 && wait_one(outer, got) == 0);
  event.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT;
  int number = eventfd(0, 0);
  CHECK_ERROR(epoll_ctl(set, EPOLL_CTL_ADD, number, &event), EINVAL);
  event.events = EPOLLIN | EPOLLEXCLUSIVE;
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, number, &event) == 0);
  CHECK_ERROR(epoll_ctl(set, EPOLL_CTL_MOD, number, &event), EINVAL);
  close(set);
  CHECK(eventfd_write(number, 1) == 0);
  close(number);
  for (int index = 0; index < 5; ++index) {
    close(chain[index]);
  }
}

int main(void) {
  test_pipe();
  test_splice();
  test_poll();
  test_events();
  test_epoll();
  return finish();
}
