// Programs that take all there is end in their own errors, and give back what they had.
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { kPage = 4096, kMebibyte = 1 << 20 };

// A line of /proc/meminfo, in KiB; −1: there is none.
static long memory_line(const char* name) {
  FILE* file = fopen("/proc/meminfo", "r");
  char line[128];
  long value = -1;
  while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
    const size_t size = strlen(name);
    if (strncmp(line, name, size) == 0 && line[size] == ':') {
      value = atol(line + size + 1);
    }
  }
  if (file != NULL) {
    fclose(file);
  }
  return value;
}

static int end_of(pid_t child) {
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  return status;
}

// Takes memory in pieces until there is no more; 0: it was refused a piece.
static int end_of_hog(size_t piece, int flags) {
  const pid_t hog = fork();
  if (hog == 0) {
    for (;;) {
      char* memory = mmap(NULL, piece, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);
      if (memory == MAP_FAILED) {
        _exit(errno == ENOMEM ? 0 : 1);
      }
      memset(memory, 1, piece);
    }
  }
  return end_of(hog);
}

// A large piece is refused once less than that is free. Who has promised not to need it all, and
// does, is killed; and so is who has more shared memory than files in memory may have.
static void test_hogs(void) {
  CHECK(end_of_hog(8 * kMebibyte, MAP_PRIVATE) == 0);
  CHECK(end_of_hog(kMebibyte, MAP_PRIVATE | MAP_NORESERVE) == SIGKILL);
  CHECK(end_of_hog(kMebibyte, MAP_SHARED) == SIGKILL);
}

static int recurse(int depth) {
  volatile char frame[1000];
  frame[0] = (char)depth;
  return depth < 0 ? 0 : recurse(depth + 1) + frame[0];
}

static void test_recursion(void) {
  const pid_t child = fork();
  if (child == 0) {
    _exit(recurse(1));
  }
  const int status = end_of(child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

// As many children as there can be, each with a page of its own.
static void test_fork_bomb(void) {
  enum { kMost = 2000 };
  static pid_t children[kMost];
  int count = 0;
  for (; count < kMost; ++count) {
    children[count] = fork();
    if (children[count] < 0) {
      CHECK(errno == EAGAIN || errno == ENOMEM);
      break;
    }
    if (children[count] == 0) {
      for (;;) {
        pause();
      }
    }
  }
  CHECK(count > 8 && count < kMost);
  for (int i = 0; i < count; ++i) {
    CHECK(kill(children[i], SIGKILL) == 0);
    CHECK(WIFSIGNALED(end_of(children[i])));
  }
}

static void run_child(char* self, int shares) {
  const pid_t child = shares ? vfork() : fork();
  if (child == 0) {
    execl(self, self, "nothing", (char*)NULL);
    _exit(99);
  }
  const int status = end_of(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static void run_children(char* self, int count) {
  for (int i = 0; i < count; ++i) {
    run_child(self, i % 2);
  }
}

// What 100 children had is all free again: programs' memory and the nucleus's.
static void test_nothing_left_behind(char* self) {
  run_children(self, 10);
  const long free_before = memory_line("MemFree");
  const long kernel_before = memory_line("PageTables");
  run_children(self, 100);
  CHECK(free_before > 0 && kernel_before > 0);
  const long free_after = memory_line("MemFree");
  const long kernel_after = memory_line("PageTables");
  CHECK(free_after >= free_before);
  CHECK(kernel_after <= kernel_before);
  if (failures != 0) {
    printf("free %ld then %ld KiB, page tables %ld then %ld KiB\n", free_before, free_after,
           kernel_before, kernel_after);
  }
}

int main(int count, char** words) {
  if (count > 1) {
    return 7;
  }
  test_nothing_left_behind(words[0]);
  test_hogs();
  test_recursion();
  test_fork_bomb();
  test_hogs();
  test_nothing_left_behind(words[0]);
  return finish();
}
