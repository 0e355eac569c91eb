// Executes damaged copies of itself: each ends by an errno, a signal or an exit code, and what
// follows still works.
//
//   bad-elf          all damages
//   bad-elf child    what a copy that is not too damaged does
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { kHeaders = 1024, kMutations = 250, kMilliseconds = 1000, kEndMilliseconds = 30000 };
#define COPY "/tmp/damaged"

static uint32_t state = 12345;
static uint32_t below(uint32_t limit) {
  state = state * 1664525 + 1013904223;
  return (uint32_t)((uint64_t)state * limit >> 32);
}

static char* original;
static size_t size;

static int read_self(void) {
  const int file = open("/proc/self/exe", O_RDONLY);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0) {
    return 0;
  }
  size = (size_t)status.st_size;
  original = malloc(size);
  size_t done = 0;
  while (done < size) {
    const ssize_t count = read(file, original + done, size - done);
    if (count <= 0) {
      return 0;
    }
    done += (size_t)count;
  }
  close(file);
  return 1;
}

static int write_copy(const char* bytes, size_t count) {
  unlink(COPY);
  const int file = open(COPY, O_WRONLY | O_CREAT | O_TRUNC, 0755);
  size_t done = 0;
  while (file >= 0 && done < count) {
    const ssize_t written = write(file, bytes + done, count - done);
    if (written <= 0) {
      break;
    }
    done += (size_t)written;
  }
  return file >= 0 && close(file) == 0 && done == count;
}

static int ends(pid_t pid, int* status, int milliseconds) {
  for (int i = 0; i < milliseconds; ++i) {
    if (waitpid(pid, status, WNOHANG) == pid) {
      return 1;
    }
    usleep(1000);
  }
  return 0;
}

// Runs the copy. The status of its end, be it by SIGKILL: a damaged program may well go round in
// circles. -1: not even that ends it.
static int run_copy(void) {
  const pid_t pid = fork();
  if (pid == 0) {
    char* const arguments[] = {COPY, "child", NULL};
    char* const environment[] = {NULL};
    execve(COPY, arguments, environment);
    _exit(100);
  }
  int status = -1;
  if (!ends(pid, &status, kMilliseconds)) {
    kill(pid, SIGKILL);
    status = ends(pid, &status, kEndMilliseconds) ? status : -1;
  }
  return status;
}

static void test_truncated(void) {
  const size_t sizes[] = {0,   1,   4,    16,   63,   64,       65,
                          120, 200, 4095, 4096, 4097, size / 2, size - 4096};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); ++i) {
    CHECK(write_copy(original, sizes[i]));
    const int status = run_copy();
    CHECK(status != -1);
    // The end may be what only a debugger reads.
    CHECK(status != 0 || sizes[i] >= size / 2);
  }
}

// Values that overflow, wrap or point past the end are likelier to be wrong than random ones.
static uint64_t damage(void) {
  static const uint64_t kValues[] = {
      0,          1,          0x38,       0xfff, 0x1000,    0x7fffffff,        0xffffffff,
      1ull << 46, 1ull << 47, 1ull << 63, ~0ull, ~0xfffull, 0xffff800000000000};
  const uint32_t choice = below(16);
  return choice < 13 ? kValues[choice] : (uint64_t)below(~0u) << 32 | below(~0u);
}

// Only the start of the file is written anew.
static int patch_copy(const char* bytes) {
  const int file = open(COPY, O_WRONLY);
  const int good = file >= 0 && pwrite(file, bytes, kHeaders, 0) == kHeaders;
  return close(file) == 0 && good;
}

static void test_mutated(void) {
  char copy[kHeaders];
  const Elf64_Ehdr* header = (const Elf64_Ehdr*)original;
  const uint32_t table_end = (uint32_t)(header->e_phoff + header->e_phnum * sizeof(Elf64_Phdr));
  CHECK(write_copy(original, size));
  for (int i = 0; i < kMutations; ++i) {
    memcpy(copy, original, kHeaders);
    for (uint32_t count = below(3) + 1; count > 0; --count) {
      const uint64_t value = damage();
      const uint32_t width = 1u << below(4);
      const uint32_t limit = below(4) == 0 ? kHeaders : table_end;
      memcpy(copy + (below(limit - 8) & ~(width - 1)), &value, width);
    }
    CHECK(patch_copy(copy));
    CHECK(run_copy() != -1);
  }
}

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "child") == 0) {
    return 0;
  }
  mkdir("/tmp", 0777);
  CHECK(read_self());
  CHECK(write_copy(original, size));
  CHECK(run_copy() == 0);
  test_truncated();
  test_mutated();
  CHECK(write_copy(original, size));
  CHECK(run_copy() == 0);
  unlink(COPY);
  return finish();
}
