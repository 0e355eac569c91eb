// Waiting for many: poll(2), select(2), epoll(7), eventfd(2), inotify(7).
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/select.h>

#include "contract.h"

static int ends[2];

BEHAVIOUR(poll_results) {
  MUST(pipe(ends));
  struct pollfd list[] = {{ends[0], POLLIN, 0}, {-1, POLLIN, 9}, {99, POLLIN, 0}};
  SHOW(poll(list, 2, 0));
  SHOW(poll(list, 3, 0));
  say("%d %d %d", list[0].revents, list[1].revents, list[2].revents);
  SHOW(poll(list, 1, 20));
  SHOW(poll(NULL, 0, 10));
  struct pollfd file = {make_file("file", ""), POLLIN | POLLOUT, 0};
  SHOW(poll(&file, 1, 0));
  say("%d", file.revents);
  SHOW(poll(list, 1000000, 0));
}

BEHAVIOUR(poll_wakes) {
  MUST(pipe(ends));
  const pid_t child = start_child();
  if (child == 0) {
    sleep_ms(20);
    MUST(write(ends[1], "x", 1));
    _exit(0);
  }
  struct pollfd list[] = {{ends[0], POLLIN, 0}};
  SHOW(poll(list, 1, -1));
  wait_for(child);
}

// ppoll sets the mask for the time of its wait: a pending signal ends it at once.
BEHAVIOUR(ppoll_mask) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  on_signal(SIGUSR1, count_signal, 0);
  MUST(sigprocmask(SIG_BLOCK, &set, NULL));
  raise(SIGUSR1);
  sigset_t none;
  sigemptyset(&none);
  const struct timespec brief = {0, 20000000};
  SHOW(ppoll(NULL, 0, &brief, NULL));
  SHOW(ppoll(NULL, 0, NULL, &none));
  say("handled %d", (int)signal_count);
  const struct timespec bad = {0, 1000000000};
  SHOW(ppoll(NULL, 0, &bad, NULL));
}

BEHAVIOUR(select_results) {
  MUST(pipe(ends));
  MUST(write(ends[1], "x", 1));
  fd_set reads;
  fd_set writes;
  FD_ZERO(&reads);
  FD_ZERO(&writes);
  FD_SET(ends[0], &reads);
  FD_SET(ends[1], &writes);
  SHOW(select(ends[1] + 1, &reads, &writes, NULL, NULL));
  say("%d %d", FD_ISSET(ends[0], &reads) != 0, FD_ISSET(ends[1], &writes) != 0);
  char byte;
  MUST(read(ends[0], &byte, 1));
  struct timeval brief = {0, 10000};
  SHOW(select(ends[0] + 1, &reads, NULL, NULL, &brief));
  say("%d, left %ld", FD_ISSET(ends[0], &reads) != 0, (long)brief.tv_usec);
  FD_ZERO(&reads);
  FD_SET(60, &reads);
  SHOW(select(61, &reads, NULL, NULL, NULL));
  SHOW(select(-1, NULL, NULL, NULL, NULL));
  struct timeval bad = {-1, 0};
  SHOW(select(0, NULL, NULL, NULL, &bad));
}

BEHAVIOUR(interrupted) {
  MUST(pipe(ends));
  on_signal(SIGUSR1, ignore_signal, SA_RESTART);
  const pid_t nagger = start_nagging(SIGUSR1);
  struct pollfd list[] = {{ends[0], POLLIN, 0}};
  SHOW(poll(list, 1, -1));
  fd_set reads;
  FD_ZERO(&reads);
  FD_SET(ends[0], &reads);
  SHOW(select(ends[0] + 1, &reads, NULL, NULL, NULL));
  struct epoll_event event;
  SHOW(epoll_wait((int)MUST(epoll_create1(0)), &event, 1, -1));
  stop_nagging(nagger);
}

static int set;

static void add(int descriptor, uint32_t events) {
  struct epoll_event event = {.events = events, .data.u64 = (uint64_t)descriptor};
  MUST(epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event));
}

static void wait_epoll(void) {
  struct epoll_event found[4];
  const int count = epoll_wait(set, found, 4, 0);
  say("%d ready: %x", count, count > 0 ? found[0].events : 0);
}

BEHAVIOUR(epoll_levels) {
  MUST(pipe(ends));
  set = (int)MUST(epoll_create1(EPOLL_CLOEXEC));
  add(ends[0], EPOLLIN);
  wait_epoll();
  MUST(write(ends[1], "ab", 2));
  wait_epoll();
  wait_epoll();
  char byte;
  MUST(read(ends[0], &byte, 1));
  wait_epoll();
  MUST(read(ends[0], &byte, 1));
  wait_epoll();
  close(ends[1]);
  wait_epoll();
}

BEHAVIOUR(epoll_edges) {
  MUST(pipe(ends));
  set = (int)MUST(epoll_create1(0));
  add(ends[0], EPOLLIN | EPOLLET);
  MUST(write(ends[1], "a", 1));
  wait_epoll();
  wait_epoll();
  MUST(write(ends[1], "b", 1));
  wait_epoll();
  wait_epoll();
}

BEHAVIOUR(epoll_one_shot) {
  MUST(pipe(ends));
  set = (int)MUST(epoll_create1(0));
  add(ends[0], EPOLLIN | EPOLLONESHOT);
  MUST(write(ends[1], "a", 1));
  wait_epoll();
  wait_epoll();
  struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT};
  SHOW(epoll_ctl(set, EPOLL_CTL_MOD, ends[0], &event));
  wait_epoll();
}

BEHAVIOUR(epoll_errors) {
  MUST(pipe(ends));
  set = (int)MUST(epoll_create1(0));
  struct epoll_event event = {.events = EPOLLIN};
  SHOW(epoll_ctl(set, EPOLL_CTL_MOD, ends[0], &event));
  SHOW(epoll_ctl(set, EPOLL_CTL_DEL, ends[0], NULL));
  SHOW(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event));
  SHOW(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event));
  SHOW(epoll_ctl(set, EPOLL_CTL_ADD, set, &event));
  SHOW(epoll_ctl(set, EPOLL_CTL_ADD, make_file("file", ""), &event));
  SHOW(epoll_ctl(set, EPOLL_CTL_ADD, 99, &event));
  SHOW(epoll_ctl(ends[0], EPOLL_CTL_ADD, ends[1], &event));
  SHOW(epoll_ctl(set, 77, ends[0], &event));
  SHOW(epoll_wait(set, &event, 0, 0));
  SHOW(epoll_wait(ends[0], &event, 1, 0));
  SHOW(epoll_create(0));
  SHOW(epoll_create1(1));
}

// A closed descriptor leaves the set when its open file ends, not before.
BEHAVIOUR(epoll_and_close) {
  MUST(pipe(ends));
  set = (int)MUST(epoll_create1(0));
  add(ends[0], EPOLLIN);
  MUST(write(ends[1], "a", 1));
  const int copy = dup(ends[0]);
  close(ends[0]);
  wait_epoll();
  close(copy);
  wait_epoll();
}

BEHAVIOUR(epoll_nested) {
  MUST(pipe(ends));
  const int inner = (int)MUST(epoll_create1(0));
  set = inner;
  add(ends[0], EPOLLIN);
  set = (int)MUST(epoll_create1(0));
  add(inner, EPOLLIN);
  wait_epoll();
  MUST(write(ends[1], "a", 1));
  wait_epoll();
}

BEHAVIOUR(eventfd_counts) {
  const int file = (int)DOES(eventfd(3, EFD_NONBLOCK));
  uint64_t value = 4;
  SHOW(write(file, &value, 8));
  SHOW(read(file, &value, 8));
  say("%ld", (long)value);
  SHOW(read(file, &value, 8));
  SHOW(read(file, &value, 4));
  value = UINT64_MAX;
  SHOW(write(file, &value, 8));
  value = UINT64_MAX - 1;
  SHOW(write(file, &value, 8));
  value = 1;
  SHOW(write(file, &value, 8));
  SHOW(eventfd(0, 1 << 20));
}

BEHAVIOUR(eventfd_semaphore) {
  const int file = (int)MUST(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));
  uint64_t value = 0;
  SHOW(read(file, &value, 8));
  say("%ld", (long)value);
  SHOW(read(file, &value, 8));
  SHOW(read(file, &value, 8));
}

BEHAVIOUR(eventfd_wakes) {
  const int file = (int)MUST(eventfd(0, 0));
  const pid_t child = start_child();
  uint64_t value = 7;
  if (child == 0) {
    sleep_ms(20);
    MUST(write(file, &value, 8));
    _exit(0);
  }
  SHOW(read(file, &value, 8));
  say("%ld", (long)value);
  wait_for(child);
}

static void say_notices(int watcher) {
  char buffer[4096] __attribute__((aligned(8)));
  const ssize_t size = read(watcher, buffer, sizeof(buffer));
  if (size < 0) {
    say("%s", error_name(errno));
  }
  for (ssize_t at = 0; at < size;) {
    const struct inotify_event* event = (const void*)(buffer + at);
    say("%x %s", event->mask, event->len > 0 ? event->name : "");
    at += (ssize_t)(sizeof(*event) + event->len);
  }
}

BEHAVIOUR(inotify_names) {
  const int watcher = (int)MUST(inotify_init1(IN_NONBLOCK));
  SHOW(inotify_add_watch(watcher, ".", IN_ALL_EVENTS & ~(IN_ACCESS | IN_CLOSE_NOWRITE)));
  say_notices(watcher);
  close(make_file("file", "text"));
  say_notices(watcher);
  MUST(rename("file", "other"));
  MUST(chmod("other", 0600));
  MUST(mkdir("folder", 0700));
  say_notices(watcher);
  MUST(unlink("other"));
  MUST(rmdir("folder"));
  say_notices(watcher);
}

BEHAVIOUR(inotify_file) {
  const int file = make_file("file", "");
  const int watcher = (int)MUST(inotify_init1(IN_NONBLOCK));
  const int watch = (int)SHOW(inotify_add_watch(watcher, "file", IN_MODIFY | IN_DELETE_SELF));
  MUST(write(file, "a", 1));
  MUST(write(file, "b", 1));
  say_notices(watcher);
  SHOW(inotify_rm_watch(watcher, watch));
  say_notices(watcher);
  SHOW(inotify_rm_watch(watcher, watch));
  SHOW(inotify_add_watch(watcher, "missing", IN_MODIFY));
  SHOW(inotify_add_watch(watcher, "file", 0));
  SHOW(inotify_init1(1));
}

// Sets that watch all sets of the row below: there are very many ways from the first to the last.
// Linux refuses some of them; what is there works.
BEHAVIOUR(epoll_nets) {
  enum { kRows = 4, kWidth = 10 };
  int ends[2];
  MUST(pipe(ends));
  int below[kWidth];
  int row[kWidth];
  struct epoll_event event = {.events = EPOLLIN};
  for (int depth = 0; depth < kRows; ++depth) {
    for (int i = 0; i < kWidth; ++i) {
      row[i] = (int)MUST(epoll_create1(0));
      for (int j = 0; j < (depth == 0 ? 1 : kWidth); ++j) {
        epoll_ctl(row[i], EPOLL_CTL_ADD, depth == 0 ? ends[0] : below[j], &event);
      }
    }
    memcpy(below, row, sizeof(below));
  }
  for (int i = 0; i < 3; ++i) {
    char byte;
    MUST(write(ends[1], "x", 1));
    struct pollfd entry = {row[0], POLLIN, 0};
    poll(&entry, 1, 0);
    MUST(read(ends[0], &byte, 1));
    SHOW(poll(&entry, 1, 0));
  }
}
