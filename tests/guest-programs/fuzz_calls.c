// Makes random hostile system calls in forked children: wild pointers, lengths, descriptors and
// flags, all numbers up to 460. It is the first process, so that it gets every orphan and may end
// all others. Between rounds it checks that the system is as it was: fork, exec, files and pipes
// work, and the memory has come back.
//
//   fuzz-calls SECONDS SEED          for so long; says which rounds it made
//   fuzz-calls SECONDS SEED ROUND    that one round, telling each call before it is made
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
  kMostNumber = 460,
  kCallsPerRound = 150,
  kRoundMilliseconds = 400,
  kEndMilliseconds = 30000,
  kRoundsPerCheck = 20,
  kArenaSize = 64 * 1024,
  kDescriptors = 14,
};
#define DIRECTORY "/tmp/fuzz"

// What a check may find missing: caches of the system that fill up in the course of time.
static const unsigned long kMostLost = 4u << 20;

static uint64_t state;
static uint64_t next_random(void) {
  // xorshift64*
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545f4914f6cdd1dull;
}
static uint64_t below(uint64_t limit) {
  return next_random() % limit;
}

static int telling;
static char* arena;      // kArenaSize bytes, then a page that cannot be touched
static char* read_only;  // a page
static const char* const kPaths[] = {"a",
                                     "b",
                                     "a/b",
                                     "dir",
                                     "link",
                                     "fifo",
                                     ".",
                                     "..",
                                     "",
                                     "/",
                                     "/bin/busybox",
                                     "/dev/zero",
                                     "/dev/ptmx",
                                     "/dev/tty",
                                     "/tmp",
                                     "/proc/self/maps",
                                     "/proc/self/fd",
                                     "/proc/self/mem",
                                     "/proc/self/exe",
                                     "/proc/1/stat",
                                     "/nonexistent/x",
                                     "dir/../a"};
enum { kPathCount = sizeof(kPaths) / sizeof(kPaths[0]) };

static uint64_t wild_pointer(void) {
  static const uint64_t kWild[] = {0,
                                   1,
                                   8,
                                   0xfff,
                                   0x1000,
                                   0x3fffd0000000,
                                   0x3fffffe00000,
                                   0x3ffffffff000,
                                   0x400000000000,
                                   0x7fffffffe000,
                                   0x7ffffffffff8,
                                   0x800000000000,
                                   0xffff800000000000,
                                   0xfffffffffffff000,
                                   ~0ull,
                                   ~7ull};
  return kWild[below(sizeof(kWild) / sizeof(kWild[0]))];
}

static uint64_t pointer(void) {
  switch (below(10)) {
    case 0:
      return wild_pointer();
    case 1:
      return (uint64_t)arena + kArenaSize - below(32);
    case 2:
      return (uint64_t)read_only + below(64);
    case 3:
    case 4: {
      char* text = arena + below(8) * 512;
      strcpy(text, kPaths[below(kPathCount)]);
      return (uint64_t)text;
    }
    case 5:
      return (uint64_t)&state;
    default:
      return (uint64_t)arena + (below(kArenaSize / 8) & ~7ull);
  }
}

static uint64_t length(void) {
  static const uint64_t kLengths[] = {
      0,          1,          2,          7,          8,          16,         24,
      64,         128,        255,        256,        1024,       4095,       4096,
      4097,       8192,       65536,      1u << 20,   0x7ffff000, 0x7fffffff, 0x80000000,
      0xffffffff, 1ull << 32, 1ull << 46, 1ull << 47, 1ull << 63, ~0ull,      ~4095ull};
  return kLengths[below(sizeof(kLengths) / sizeof(kLengths[0]))];
}

static uint64_t argument(void) {
  switch (below(12)) {
    case 0:
    case 1:
    case 2:
      return below(kDescriptors + 4) - 1;
    case 3:
    case 4:
    case 5:
      return pointer();
    case 6:
      return length();
    case 7:
      return 1ull << below(64);
    case 8:
      return (1ull << below(32)) | (1ull << below(32));
    case 9:
      return below(64);
    case 10:
      return (uint32_t)next_random();
    default:
      return below(4) == 0 ? next_random() : 0;
  }
}

static long call(long number, const uint64_t* a) {
  long result;
  register uint64_t a3 __asm__("r10") = a[3];
  register uint64_t a4 __asm__("r8") = a[4];
  register uint64_t a5 __asm__("r9") = a[5];
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(a3), "r"(a4), "r"(a5)
                   : "rcx", "r11", "memory");
  return result;
}

// Whether the call's first argument names a process, which must not be the test itself.
static int takes_process(long number) {
  switch (number) {
    case SYS_kill:
    case SYS_tkill:
    case SYS_tgkill:
    case SYS_rt_sigqueueinfo:
    case SYS_rt_tgsigqueueinfo:
    case SYS_ptrace:
    case SYS_setpgid:
    case SYS_prlimit64:
    case SYS_pidfd_open:
    case SYS_process_vm_writev:
    case SYS_sched_setparam:
    case SYS_sched_setscheduler:
    case SYS_sched_setaffinity:
    case SYS_sched_setattr:
      return 1;
    default:
      return 0;
  }
}

// Ends the machine, or the test's own view of it.
static int is_forbidden(long number) {
  return number == SYS_reboot || number == SYS_umount2 || number == SYS_mount ||
         number == SYS_pivot_root || number == SYS_setpriority || number == SYS_exit_group ||
         number == SYS_exit;
}

static void tell(long number, const uint64_t* a) {
  char line[160];
  const int size = snprintf(line, sizeof(line), "%d: %ld(%lx, %lx, %lx, %lx, %lx, %lx)\n", getpid(),
                            number, a[0], a[1], a[2], a[3], a[4], a[5]);
  const uint64_t write_arguments[6] = {500, (uint64_t)line, (uint64_t)size};
  call(SYS_write, write_arguments);
}

static void one_call(void) {
  // Half of all calls concern the numbers that any program uses.
  const long number = (long)(below(2) == 0 ? below(120) : below(kMostNumber + 1));
  uint64_t a[6];
  for (int i = 0; i < 6; ++i) {
    a[i] = argument();
  }
  const int self = getpid();
  if (takes_process(number) && ((int)a[0] == 1 || (int)a[0] < 0)) {
    a[0] = (uint64_t)self;
  }
  if (is_forbidden(number)) {
    return;
  }
  if (number == SYS_nanosleep || number == SYS_clock_nanosleep) {
    memset(arena, 0, 64);
  }
  if (telling) {
    tell(number, a);
  }
  call(number, a);
  if (getpid() != self) {
    _exit(0);
  }
}

static void ignore(int signal) {
  (void)signal;
}

static void open_descriptors(void) {
  const int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) {
    dup2(null, fd);
  }
  close(null);
  int pair[2];
  open("a", O_RDWR | O_CREAT, 0644);
  open(".", O_RDONLY);
  if (pipe(pair) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0) {
    write(pair[0], "hello", 5);
  }
  eventfd(3, EFD_NONBLOCK);
  epoll_create1(0);
  open("/dev/zero", O_RDWR);
  open("/bin/busybox", O_RDONLY);
  open("/dev/ptmx", O_RDWR | O_NOCTTY);
}

static void prepare_child(uint64_t seed) {
  setsid();
  if (telling) {
    dup2(1, 500);
  }
  mkdir("dir", 0755);
  symlink("a", "link");
  mkfifo("fifo", 0644);
  open_descriptors();
  arena = mmap(NULL, kArenaSize + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(arena + kArenaSize, 4096, PROT_NONE);
  read_only = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  state = seed | 1;
  for (int i = 0; i < kArenaSize / 8; i += (int)below(16) + 1) {
    ((uint64_t*)arena)[i] = argument();
  }
  struct sigaction action = {.sa_handler = ignore};
  sigaction(SIGALRM, &action, NULL);
  const struct itimerval timer = {{0, 10000}, {0, 10000}};
  setitimer(ITIMER_REAL, &timer, NULL);
}

static long milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Waits until no process is left. 0: that does not happen in time.
static int reap_all(long limit) {
  const long end = milliseconds() + limit;
  for (;;) {
    const pid_t pid = waitpid(-1, NULL, WNOHANG | __WALL);
    if (pid < 0) {
      return 1;
    }
    if (pid == 0) {
      if (milliseconds() > end) {
        return 0;
      }
      usleep(1000);
    }
  }
}

static int fail(const char* what, uint64_t seed, long round) {
  printf("FAILED: %s (errno %d); seed %lu, round %ld\n", what, errno, (unsigned long)seed, round);
  fflush(stdout);
  return 0;
}

static void remove_tree(const char* path) {
  const pid_t pid = fork();
  if (pid == 0) {
    execl("/bin/busybox", "busybox", "rm", "-rf", path, NULL);
    _exit(127);
  }
  waitpid(pid, NULL, 0);
}

static int make_round(uint64_t seed, long round) {
  mkdir(DIRECTORY, 0755);
  const pid_t child = fork();
  if (child < 0) {
    return fail("fork", seed, round);
  }
  if (child == 0) {
    if (chdir(DIRECTORY) != 0) {
      _exit(1);
    }
    prepare_child((seed * 0x9e3779b97f4a7c15ull) ^ ((uint64_t)round * 0xd1342543de82ef95ull));
    for (int i = 0; i < kCallsPerRound; ++i) {
      one_call();
    }
    _exit(0);
  }
  reap_all(kRoundMilliseconds);
  kill(-1, SIGKILL);
  return reap_all(kEndMilliseconds) ? 1 : fail("a process outlives SIGKILL", seed, round);
}

static int exec_works(void) {
  const pid_t pid = fork();
  if (pid == 0) {
    execl("/bin/busybox", "busybox", "true", NULL);
    _exit(127);
  }
  int status = -1;
  return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static int files_work(void) {
  char text[5] = {0};
  const int file = open("/tmp/check", O_RDWR | O_CREAT | O_TRUNC, 0600);
  const int good = file >= 0 && write(file, "right", 5) == 5 && pread(file, text, 5, 0) == 5 &&
                   memcmp(text, "right", 5) == 0;
  close(file);
  unlink("/tmp/check");
  return good;
}

static int pipes_work(void) {
  int ends[2];
  char byte = 0;
  const int good =
      pipe(ends) == 0 && write(ends[1], "x", 1) == 1 && read(ends[0], &byte, 1) == 1 && byte == 'x';
  close(ends[0]);
  close(ends[1]);
  return good;
}

// What lives on without a process.
static void remove_shared_objects(void) {
  for (int id = 0; id < 256; ++id) {
    syscall(SYS_shmctl, id, 0, NULL);
    syscall(SYS_msgctl, id, 0, NULL);
    syscall(SYS_semctl, id, 0, 0, NULL);
  }
}

static unsigned long free_memory(void) {
  struct sysinfo info;
  return sysinfo(&info) == 0 ? info.freeram * info.mem_unit : 0;
}

static int check(uint64_t seed, long round, unsigned long baseline) {
  remove_tree(DIRECTORY);
  remove_shared_objects();
  if (!exec_works()) {
    return fail("fork and exec no longer work", seed, round);
  }
  if (!files_work()) {
    return fail("files no longer work", seed, round);
  }
  if (!pipes_work()) {
    return fail("pipes no longer work", seed, round);
  }
  const unsigned long left = free_memory();
  if (left + kMostLost < baseline) {
    printf("free: %lu KiB of %lu KiB\n", left >> 10, baseline >> 10);
    return fail("memory does not come back", seed, round);
  }
  return 1;
}

int main(int argc, char** argv) {
  const long seconds = argc > 1 ? atol(argv[1]) : 10;
  const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
  if (getpid() != 1) {
    printf("this is for a machine's first process: it ends all others\n");
    return 2;
  }
  mkdir("/tmp", 0777);
  if (argc > 3) {
    telling = 1;
    const long round = atol(argv[3]);
    return make_round(seed, round) && check(seed, round, 0) ? 0 : 1;
  }
  const long end = milliseconds() + seconds * 1000;
  long round = 0;
  // What the first rounds take is the system's own.
  unsigned long baseline = 0;
  while (milliseconds() < end) {
    for (int i = 0; i < kRoundsPerCheck; ++i) {
      if (!make_round(seed, round++)) {
        return 1;
      }
    }
    if (!check(seed, round, baseline)) {
      return 1;
    }
    baseline = baseline == 0 ? free_memory() : baseline;
    printf("rounds %ld\n", round);
    fflush(stdout);
  }
  printf("fuzzed: %ld rounds of %d calls, seed %lu, free %lu KiB of %lu KiB\n", round,
         kCallsPerRound, (unsigned long)seed, free_memory() >> 10, baseline >> 10);
  return 0;
}
