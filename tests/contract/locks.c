// Locks on files: fcntl(2), flock(2).
#include <sys/file.h>

#include "contract.h"

static long lock(int file, int command, short type, long start, long length) {
  struct flock region = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  return fcntl(file, command, &region);
}

// Runs the block in a child that has the file open as `other`.
#define IN_OTHER(...)                                    \
  do {                                                   \
    const pid_t child = start_child();                   \
    if (child == 0) {                                    \
      const int other = (int)MUST(open("file", O_RDWR)); \
      __VA_ARGS__;                                       \
      _exit(0);                                          \
    }                                                    \
    wait_for(child);                                     \
  } while (0)

BEHAVIOUR(record_locks_conflict) {
  const int file = make_file("file", "0123456789");
  SHOW(lock(file, F_SETLK, F_WRLCK, 0, 5));
  IN_OTHER({
    SHOW(lock(other, F_SETLK, F_RDLCK, 4, 1));
    SHOW(lock(other, F_SETLK, F_WRLCK, 5, 5));
    struct flock region = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    SHOW(fcntl(other, F_GETLK, &region));
    say("type %d start %ld length %ld", region.l_type, (long)region.l_start, (long)region.l_len);
    FACT(region.l_pid == getppid());
  });
  SHOW(lock(file, F_SETLK, F_RDLCK, 0, 5));
  IN_OTHER(SHOW(lock(other, F_SETLK, F_RDLCK, 4, 1)); SHOW(lock(other, F_SETLK, F_WRLCK, 4, 1)));
}

// Unlocking the middle splits a lock.
BEHAVIOUR(record_locks_split) {
  const int file = make_file("file", "0123456789");
  MUST(lock(file, F_SETLK, F_WRLCK, 0, 10));
  SHOW(lock(file, F_SETLK, F_UNLCK, 3, 4));
  IN_OTHER({
    SHOW(lock(other, F_SETLK, F_WRLCK, 3, 4));
    SHOW(lock(other, F_SETLK, F_WRLCK, 2, 1));
    SHOW(lock(other, F_SETLK, F_WRLCK, 7, 1));
  });
}

// A process's record locks end when it closes any descriptor of the file; a child has none of them.
BEHAVIOUR(record_locks_end) {
  const int file = make_file("file", "x");
  MUST(lock(file, F_SETLK, F_WRLCK, 0, 0));
  const pid_t child = start_child();
  if (child == 0) {
    SHOW(lock(file, F_SETLK, F_WRLCK, 0, 0));
    _exit(0);
  }
  wait_for(child);
  close((int)MUST(open("file", O_RDONLY)));
  IN_OTHER(SHOW(lock(other, F_SETLK, F_WRLCK, 0, 0)));
}

BEHAVIOUR(record_lock_waits) {
  const int file = make_file("file", "x");
  MUST(lock(file, F_SETLK, F_WRLCK, 0, 0));
  const pid_t child = start_child();
  if (child == 0) {
    const int other = (int)MUST(open("file", O_RDWR));
    SHOW(lock(other, F_SETLKW, F_WRLCK, 0, 0));
    _exit(0);
  }
  wait_until_asleep(child);
  say("unlocking");
  MUST(lock(file, F_SETLK, F_UNLCK, 0, 0));
  say_end("child", child);
}

// Two that wait for each other: the second gets EDEADLK.
BEHAVIOUR(deadlock_is_found) {
  const int file = make_file("file", "01");
  MUST(lock(file, F_SETLK, F_WRLCK, 0, 1));
  int ends[2];
  MUST(pipe(ends));
  const pid_t child = start_child();
  if (child == 0) {
    const int other = (int)MUST(open("file", O_RDWR));
    MUST(lock(other, F_SETLK, F_WRLCK, 1, 1));
    MUST(write(ends[1], "x", 1));
    SHOW(lock(other, F_SETLKW, F_WRLCK, 0, 1));
    _exit(0);
  }
  char byte;
  MUST(read(ends[0], &byte, 1));
  wait_until_asleep(child);
  SHOW(lock(file, F_SETLKW, F_WRLCK, 1, 1));
  MUST(lock(file, F_SETLK, F_UNLCK, 0, 1));
  say_end("child", child);
}

BEHAVIOUR(record_lock_errors) {
  close(make_file("file", "x"));
  const int reader = (int)MUST(open("file", O_RDONLY));
  SHOW(lock(reader, F_SETLK, F_WRLCK, 0, 0));
  SHOW(lock(reader, F_SETLK, F_RDLCK, 0, 0));
  SHOW(lock(reader, F_SETLK, F_RDLCK, -1, 0));
  SHOW(lock(reader, F_SETLK, 77, 0, 0));
  SHOW(lock(99, F_SETLK, F_RDLCK, 0, 0));
}

// Open file description locks belong to the open file: another open conflicts in one process.
BEHAVIOUR(description_locks) {
  const int file = make_file("file", "x");
  const int again = (int)MUST(open("file", O_RDWR));
  SHOW(lock(file, F_OFD_SETLK, F_WRLCK, 0, 0));
  SHOW(lock(again, F_OFD_SETLK, F_WRLCK, 0, 0));
  SHOW(lock(dup(file), F_OFD_SETLK, F_WRLCK, 0, 0));
  close((int)MUST(open("file", O_RDONLY)));
  SHOW(lock(again, F_OFD_SETLK, F_WRLCK, 0, 0));
}

BEHAVIOUR(whole_file_locks) {
  const int file = make_file("file", "x");
  const int again = (int)MUST(open("file", O_RDWR));
  SHOW(flock(file, LOCK_EX));
  SHOW(flock(again, LOCK_SH | LOCK_NB));
  SHOW(flock(dup(file), LOCK_EX | LOCK_NB));
  SHOW(flock(file, LOCK_SH));
  SHOW(flock(again, LOCK_SH | LOCK_NB));
  SHOW(flock(again, LOCK_EX | LOCK_NB));
  SHOW(flock(file, LOCK_UN));
  SHOW(flock(again, 77));
  SHOW(flock(99, LOCK_SH));
}

// flock is inherited by fork and ends with the last descriptor.
BEHAVIOUR(whole_file_lock_and_fork) {
  const int file = make_file("file", "x");
  MUST(flock(file, LOCK_EX));
  int ends[2];
  MUST(pipe(ends));
  const pid_t child = start_child();
  if (child == 0) {
    char byte;
    close(ends[1]);
    read(ends[0], &byte, 1);
    _exit(0);
  }
  close(file);
  const int again = (int)MUST(open("file", O_RDWR));
  SHOW(flock(again, LOCK_EX | LOCK_NB));
  close(ends[1]);
  wait_for(child);
  SHOW(flock(again, LOCK_EX | LOCK_NB));
}

BEHAVIOUR(lockf_calls) {
  const int file = make_file("file", "0123456789");
  SHOW(lockf(file, F_TLOCK, 5));
  IN_OTHER(SHOW(lockf(other, F_TEST, 5)); SHOW(lockf(other, F_TLOCK, 5)));
  SHOW(lockf(file, F_TEST, 5));
  SHOW(lockf(file, F_ULOCK, 5));
}
