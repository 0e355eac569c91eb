// The operations of `scripts/bench abi`: what system calls cost, in ticks of the TSC (instructions,
// on lane T) and in nanoseconds. The same static binary runs on Ensemble and on Linux, as the first
// process. One JSON object per operation. Arguments: names of the operations to make, else all.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kWarmUps = 3, kMany = 200, kSome = 50, kFew = 20, kPage = 4096, kBlock = 65536 };

static const char* program = "/init";
static int zero_file, null_file, memory_file, to_peer, from_peer;
static char *fresh_pages, *next_page;
static char block[kBlock];

static void expect(int good, const char* what) {
  if (!good) {
    perror(what);
    exit(1);
  }
}

static uint64_t ticks(void) {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
  return (uint64_t)high << 32 | low;
}

static uint64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void parent(void) {
  syscall(SYS_getppid);
}

static void read_zero(void) {
  expect(read(zero_file, block, 1) == 1, "read");
}

static void write_null(void) {
  expect(write(null_file, block, 1) == 1, "write");
}

static void status(void) {
  struct stat found;
  expect(stat(program, &found) == 0, "stat");
}

static void open_close(void) {
  const int file = open(program, O_RDONLY);
  expect(file >= 0 && close(file) == 0, "open and close");
}

static void map_unmap(void) {
  void* memory = mmap(NULL, kBlock, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  expect(memory != MAP_FAILED && munmap(memory, kBlock) == 0, "mmap and munmap");
}

static void reserve_pages(void) {
  const size_t size = (size_t)(kMany + kWarmUps + 1) * kPage;
  fresh_pages = next_page =
      mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  expect(fresh_pages != MAP_FAILED, "mmap");
  madvise(fresh_pages, size, MADV_NOHUGEPAGE);
}

static void touch_page(void) {
  *(volatile char*)next_page = 1;
  next_page += kPage;
}

static void handler(int number) {
  (void)number;
}

static void catch_signal(void) {
  signal(SIGUSR1, handler);
}

static void signal_self(void) {
  kill(getpid(), SIGUSR1);
}

// A child that sends back each byte until there is no more.
static void serve(int from, int to) {
  char byte;
  while (read(from, &byte, 1) == 1 && write(to, &byte, 1) == 1) {
  }
  _exit(0);
}

static void open_pipes(void) {
  int there[2], back[2];
  expect(pipe(there) == 0 && pipe(back) == 0, "pipe");
  const pid_t child = fork();
  expect(child >= 0, "fork");
  if (child == 0) {
    close(there[1]);
    serve(there[0], back[1]);
  }
  close(there[0]);
  close(back[1]);
  to_peer = there[1];
  from_peer = back[0];
}

static void open_sockets(void) {
  int pair[2];
  expect(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
  const pid_t child = fork();
  expect(child >= 0, "fork");
  if (child == 0) {
    close(pair[0]);
    serve(pair[1], pair[1]);
  }
  close(pair[1]);
  to_peer = from_peer = pair[0];
}

static void round_trip(void) {
  expect(write(to_peer, block, 1) == 1 && read(from_peer, block, 1) == 1, "round trip");
}

static void end_peer(void) {
  close(to_peer);
  if (from_peer != to_peer) {
    close(from_peer);
  }
  wait(NULL);
}

static void fork_wait(void) {
  const pid_t child = fork();
  expect(child >= 0, "fork");
  if (child == 0) {
    _exit(0);
  }
  expect(waitpid(child, NULL, 0) == child, "waitpid");
}

static void fork_execute_wait(void) {
  const pid_t child = fork();
  expect(child >= 0, "fork");
  if (child == 0) {
    execl(program, program, "--end", NULL);
    _exit(1);
  }
  int result = 0;
  expect(waitpid(child, &result, 0) == child && result == 0, "exec");
}

static void* thread_body(void* argument) {
  return argument;
}

static void thread_join(void) {
  pthread_t thread;
  expect(pthread_create(&thread, NULL, thread_body, NULL) == 0 && pthread_join(thread, NULL) == 0,
         "thread");
}

static void read_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
}

static void fill_file(void) {
  memory_file = open("/tmp/abi-operations", O_RDWR | O_CREAT, 0600);
  expect(memory_file >= 0 && write(memory_file, block, kBlock) == kBlock, "write");
}

static void read_page(void) {
  expect(pread(memory_file, block, kPage, 0) == kPage, "pread");
}

static void write_page(void) {
  expect(pwrite(memory_file, block, kPage, 0) == kPage, "pwrite");
}

static void close_file(void) {
  close(memory_file);
  unlink("/tmp/abi-operations");
}

static const struct operation {
  const char* name;
  int count;
  void (*make)(void);
  void (*before)(void);
  void (*after)(void);
} operations[] = {
    {"getppid", kMany, parent, NULL, NULL},
    {"read 1 B of /dev/zero", kMany, read_zero, NULL, NULL},
    {"write 1 B to /dev/null", kMany, write_null, NULL, NULL},
    {"stat", kMany, status, NULL, NULL},
    {"open + close", kMany, open_close, NULL, NULL},
    {"mmap + munmap 64 KiB", kMany, map_unmap, NULL, NULL},
    {"anonymous page fault", kMany, touch_page, reserve_pages, NULL},
    {"signal to self", kMany, signal_self, catch_signal, NULL},
    {"pipe round trip", kMany, round_trip, open_pipes, end_peer},
    {"Unix socket round trip", kMany, round_trip, open_sockets, end_peer},
    {"fork + exit + wait", kFew, fork_wait, NULL, NULL},
    {"fork + exec + wait", kFew, fork_execute_wait, NULL, NULL},
    {"thread create + join", kSome, thread_join, NULL, NULL},
    {"clock_gettime", kMany, read_clock, NULL, NULL},
    {"pread 4 KiB of tmpfs", kMany, read_page, fill_file, close_file},
    {"pwrite 4 KiB to tmpfs", kMany, write_page, fill_file, close_file},
};

static void measure(const struct operation* operation) {
  if (operation->before != NULL) {
    operation->before();
  }
  for (int i = 0; i < kWarmUps; ++i) {
    operation->make();
  }
  const uint64_t clock = nanoseconds();
  const uint64_t start = ticks();
  for (int i = 0; i < operation->count; ++i) {
    operation->make();
  }
  const uint64_t used = ticks() - start;
  const uint64_t elapsed = nanoseconds() - clock;
  printf("{\"operation\": \"%s\", \"ticks\": %llu, \"nanoseconds\": %llu}\n", operation->name,
         (unsigned long long)(used / (unsigned)operation->count),
         (unsigned long long)(elapsed / (unsigned)operation->count));
  fflush(stdout);
  if (operation->after != NULL) {
    operation->after();
  }
}

static int is_wanted(const struct operation* operation, int count, char** names) {
  for (int i = 1; i < count; ++i) {
    if (strcmp(names[i], operation->name) == 0) {
      return 1;
    }
  }
  return count < 2;
}

// An initramfs starts without devices.
static void make_devices(void) {
  mknod("/dev/zero", S_IFCHR | 0666, makedev(1, 5));
  mknod("/dev/null", S_IFCHR | 0666, makedev(1, 3));
}

// Runs a command and says how long it took.
static int run_timed(char** command) {
  int result = 0;
  const uint64_t start = nanoseconds();
  const pid_t child = fork();
  expect(child >= 0, "fork");
  if (child == 0) {
    const int sink = open("/dev/null", O_WRONLY);
    expect(sink >= 0 && dup2(sink, STDOUT_FILENO) >= 0, "/dev/null");
    execv(command[0], command);
    _exit(127);
  }
  expect(waitpid(child, &result, 0) == child, "waitpid");
  printf("{\"elapsed_nanoseconds\": %llu, \"status\": %d}\n",
         (unsigned long long)(nanoseconds() - start), result);
  return result != 0;
}

int main(int count, char** arguments) {
  if (count > 1 && strcmp(arguments[1], "--end") == 0) {
    _exit(0);
  }
  if (count > 2 && strcmp(arguments[1], "--time") == 0) {
    return run_timed(arguments + 2);
  }
  make_devices();
  zero_file = open("/dev/zero", O_RDONLY);
  null_file = open("/dev/null", O_WRONLY);
  expect(zero_file >= 0 && null_file >= 0, "/dev/zero and /dev/null");
  for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); ++i) {
    if (is_wanted(&operations[i], count, arguments)) {
      measure(&operations[i]);
    }
  }
  puts("abi-operations: done");
  fflush(stdout);
  return 0;
}
