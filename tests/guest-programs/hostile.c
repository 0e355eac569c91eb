#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

// Wild pointers, lengths, descriptors and numbers: each gives an errno, and the program lives on.

static void* const kBad[] = {(void*)0,
                             (void*)8,
                             (void*)0x400000000000,
                             (void*)0x7fffffffffff,
                             (void*)0x800000000000,
                             (void*)0xffff800000000000,
                             (void*)-1,
                             (void*)-4096};
enum { kBadCount = sizeof(kBad) / sizeof(kBad[0]) };

static void test_pointers(void) {
  int zero = open("/dev/zero", O_RDWR);
  int numbers = open("/fixed/numbers", O_RDONLY);
  int directory = open("/fixed", O_RDONLY);
  for (int i = 0; i < kBadCount; ++i) {
    void* bad = kBad[i];
    CHECK_ERROR(read(zero, bad, 100), EFAULT);
    CHECK_ERROR(read(numbers, bad, 100), EFAULT);
    CHECK_ERROR(write(1, bad, 100), EFAULT);
    CHECK_ERROR(readv(zero, bad, 1), EFAULT);
    CHECK_ERROR(syscall(SYS_open, bad, O_RDONLY), EFAULT);
    CHECK_ERROR(syscall(SYS_stat, "/", bad), EFAULT);
    CHECK_ERROR(syscall(SYS_getdents64, directory, bad, 1000), EFAULT);
    CHECK_ERROR(syscall(SYS_getcwd, bad, 100), EFAULT);
    CHECK_ERROR(syscall(SYS_uname, bad), EFAULT);
    CHECK_ERROR(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, bad), EFAULT);
    CHECK_ERROR(syscall(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, bad), EFAULT);
    CHECK_ERROR(syscall(SYS_nanosleep, bad, NULL), EFAULT);
    CHECK_ERROR(syscall(SYS_getrandom, bad, 10, 0), EFAULT);
    CHECK_ERROR(syscall(SYS_poll, bad, 1, 0), EFAULT);
    CHECK_ERROR(syscall(SYS_sysinfo, bad), EFAULT);
    CHECK_ERROR(syscall(SYS_getrlimit, RLIMIT_STACK, bad), EFAULT);
    CHECK_ERROR(syscall(SYS_sched_getaffinity, 0, 8, bad), EFAULT);
    CHECK_ERROR(syscall(SYS_ioctl, 1, 0x5401, bad), EFAULT);
    if (bad != NULL) {
      CHECK_ERROR(syscall(SYS_gettimeofday, bad, NULL), EFAULT);
      CHECK_ERROR(syscall(SYS_time, bad), EFAULT);
      // Every process can read the page at 0x400000000000.
      if (bad != (void*)0x400000000000) {
        CHECK_ERROR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, bad, NULL, 8), EFAULT);
      }
      CHECK_ERROR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, bad, 8), EFAULT);
      CHECK_ERROR(syscall(SYS_rt_sigaction, SIGUSR1, bad, NULL, 8), EFAULT);
      CHECK_ERROR(syscall(SYS_prlimit64, 0, RLIMIT_STACK, NULL, bad), EFAULT);
    }
  }
  // A buffer whose second page is missing: what fits is transferred.
  char* map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(map + 4096, 4096);
  CHECK(read(zero, map + 4000, 1000) == 96);
  CHECK(read(numbers, map + 4090, 100) == 6);
  CHECK_ERROR(syscall(SYS_stat, "/", map + 4000), EFAULT);
  // One that may not be written.
  mprotect(map, 4096, PROT_READ);
  CHECK_ERROR(read(zero, map, 10), EFAULT);
  CHECK_ERROR(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, map), EFAULT);
  mprotect(map, 4096, PROT_NONE);
  CHECK_ERROR(write(zero, map, 10) == 10 ? write(1, map, 10) : 0, EFAULT);
  // The code itself is not writable.
  CHECK_ERROR(read(zero, (void*)(uintptr_t)&test_pointers, 4), EFAULT);
  close(directory);
  close(numbers);
  close(zero);
}

static void test_lengths(void) {
  int zero = open("/dev/zero", O_RDWR);
  int null = open("/dev/null", O_RDWR);
  static char buffer[64];
  CHECK_ERROR(syscall(SYS_read, null, buffer, SIZE_MAX), EFAULT);
  CHECK_ERROR(syscall(SYS_write, null, buffer, SIZE_MAX), EFAULT);
  struct iovec huge[2] = {{buffer, SIZE_MAX}, {buffer, 1}};
  CHECK_ERROR(readv(zero, huge, 1), EINVAL);
  CHECK_ERROR(syscall(SYS_readv, zero, huge, -1), EINVAL);
  CHECK_ERROR(syscall(SYS_readv, zero, huge, 100000), EINVAL);
  CHECK_ERROR(syscall(SYS_poll, buffer, 100000, 0), EINVAL);
  CHECK_ERROR(syscall(SYS_select, -1, NULL, NULL, NULL, NULL), EINVAL);
  CHECK_ERROR(syscall(SYS_munmap, 0x10000, 0), EINVAL);
  CHECK_ERROR(syscall(SYS_munmap, 0x10000, SIZE_MAX), EINVAL);
  CHECK_ERROR(syscall(SYS_munmap, SIZE_MAX & ~4095ul, 8192), EINVAL);
  CHECK_ERROR(syscall(SYS_mprotect, 0x10000, SIZE_MAX, 0), ENOMEM);
  CHECK_ERROR(syscall(SYS_mprotect, SIZE_MAX & ~4095ul, 8192, 0), ENOMEM);
  CHECK_ERROR(syscall(SYS_mremap, SIZE_MAX & ~4095ul, 8192, 16384, 1, 0), EFAULT);
  CHECK_ERROR(syscall(SYS_madvise, SIZE_MAX & ~4095ul, 8192, 4), EINVAL);
  CHECK_ERROR(syscall(SYS_mmap, SIZE_MAX & ~4095ul, 8192, 3, 0x32, -1, 0), ENOMEM);
  CHECK_ERROR(syscall(SYS_getcwd, buffer, 0), ERANGE);
  CHECK_ERROR(syscall(SYS_sched_getaffinity, 0, 7, buffer), EINVAL);
  CHECK_ERROR(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 7), EINVAL);
  CHECK_ERROR(syscall(SYS_rt_sigaction, 65, NULL, buffer, 8), EINVAL);
  struct timespec bad_time = {0, 1000000000};
  CHECK_ERROR(nanosleep(&bad_time, NULL), EINVAL);
  bad_time.tv_sec = -1;
  bad_time.tv_nsec = 0;
  CHECK_ERROR(nanosleep(&bad_time, NULL), EINVAL);
  close(null);
  close(zero);
}

static void test_numbers(void) {
  static const int kDescriptors[] = {-1, 3, 1023, 1024, INT_MAX, INT_MIN};
  char buffer[8];
  struct stat status;
  for (size_t i = 0; i < sizeof(kDescriptors) / sizeof(kDescriptors[0]); ++i) {
    const int bad = kDescriptors[i];
    CHECK_ERROR(read(bad, buffer, 1), EBADF);
    CHECK_ERROR(write(bad, buffer, 1), EBADF);
    CHECK_ERROR(close(bad), EBADF);
    CHECK_ERROR(dup(bad), EBADF);
    CHECK_ERROR(lseek(bad, 0, SEEK_SET), EBADF);
    CHECK_ERROR(syscall(SYS_fstat, bad, &status), EBADF);
    CHECK_ERROR(fcntl(bad, F_GETFD), EBADF);
    CHECK_ERROR(syscall(SYS_ioctl, bad, 0x5401, buffer), EBADF);
    CHECK_ERROR(syscall(SYS_getdents64, bad, buffer, 8), EBADF);
  }
  CHECK_ERROR(dup2(1, 1024), EBADF);
  CHECK_ERROR(dup2(1, -1), EBADF);
  CHECK_ERROR(fcntl(1, F_DUPFD, 1024), EINVAL);
  CHECK_ERROR(fcntl(1, 9999), EINVAL);
  CHECK_ERROR(syscall(SYS_ioctl, 1, 0xdeadbeef, buffer), ENOTTY);
  CHECK_ERROR(syscall(9999), ENOSYS);
  CHECK_ERROR(syscall(-1), ENOSYS);
  CHECK_ERROR(syscall(LONG_MAX), ENOSYS);
  CHECK_ERROR(syscall(SYS_clock_gettime, 99, buffer), EINVAL);
  CHECK_ERROR(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);
  // Descriptors run out, and come back.
  int count = 0;
  while (dup(1) >= 0) {
    ++count;
  }
  CHECK(errno == EMFILE && count == 1024 - 3);
  for (int number = 3; number < 1024; ++number) {
    close(number);
  }
  CHECK(dup(1) == 3 && close(3) == 0);
  CHECK_ERROR(syscall(SYS_kill, 4711, SIGTERM), ESRCH);
}

// A new page may be asked for at each address in turn without the kernel losing one.
static void test_many_mappings(void) {
  const size_t page = 4096;
  enum { kPages = 400 };
  char* map = mmap(NULL, kPages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (size_t i = 0; i < kPages; i += 2) {
    CHECK(mprotect(map + i * page, page, PROT_READ) == 0);
  }
  for (size_t i = 1; i < kPages; i += 2) {
    map[i * page] = (char)i;
  }
  int wrong = 0;
  for (size_t i = 0; i < kPages; ++i) {
    wrong += map[i * page] != (char)(i % 2 == 1 ? i : 0);
  }
  CHECK(wrong == 0);
  CHECK(munmap(map, kPages * page) == 0);
}

int main(void) {
  test_pointers();
  test_lengths();
  test_numbers();
  test_many_mappings();
  return finish();
}
