// dup and fcntl on descriptors: dup(2), fcntl(2), close(2), close_range(2).
#include "contract.h"

BEHAVIOUR(dup_lowest) {
  SHOW(dup(1));
  SHOW(dup(1));
  SHOW(close(3));
  SHOW(dup(1));
  SHOW(dup(99));
  SHOW(dup(-1));
}

BEHAVIOUR(dup2_cases) {
  const int file = make_file("file", "text");
  SHOW(dup2(file, 10));
  SHOW(dup2(file, file));
  SHOW(dup2(99, 10));
  SHOW(fcntl(10, F_GETFD));
  SHOW(dup2(99, 99));
  SHOW(dup2(file, -1));
  SHOW(dup2(file, 1 << 30));
  SHOW(dup2(1, 10));
  SHOW(lseek(file, 0, SEEK_CUR));
}

BEHAVIOUR(dup3_cases) {
  SHOW(dup3(1, 10, O_CLOEXEC));
  SHOW(fcntl(10, F_GETFD));
  SHOW(dup3(1, 10, 0));
  SHOW(fcntl(10, F_GETFD));
  SHOW(dup3(1, 1, 0));
  SHOW(dup3(1, 10, O_NONBLOCK));
}

// FD_CLOEXEC belongs to the descriptor: a copy does not have it.
BEHAVIOUR(close_on_exec_flag) {
  const int file = (int)MUST(open("/dev/null", O_RDONLY | O_CLOEXEC));
  SHOW(fcntl(file, F_GETFD));
  SHOW(fcntl(dup(file), F_GETFD));
  SHOW(fcntl(file, F_SETFD, 0));
  SHOW(fcntl(file, F_GETFD));
  SHOW(fcntl(file, F_DUPFD_CLOEXEC, 20));
  SHOW(fcntl(20, F_GETFD));
}

BEHAVIOUR(duplicate_from) {
  SHOW(fcntl(1, F_DUPFD, 12));
  SHOW(fcntl(1, F_DUPFD, 12));
  SHOW(fcntl(1, F_DUPFD, -1));
  SHOW(fcntl(1, F_DUPFD, 1 << 30));
  SHOW(fcntl(99, F_DUPFD, 0));
}

// Status flags belong to the open file, so copies share them; access mode and creation flags stay.
BEHAVIOUR(status_flags) {
  const int file = (int)MUST(open("file", O_CREAT | O_EXCL | O_RDWR | O_APPEND, 0600));
  const int copy = dup(file);
  SHOW(fcntl(file, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK | O_CREAT | O_EXCL));
  SHOW(fcntl(file, F_SETFL, O_NONBLOCK | O_WRONLY));
  SHOW(fcntl(copy, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
}

BEHAVIOUR(fcntl_errors) {
  SHOW(fcntl(99, F_GETFD));
  SHOW(fcntl(99, F_GETFL));
  SHOW(fcntl(1, 9999, 0));
}

BEHAVIOUR(close_twice) {
  const int file = dup(1);
  SHOW(close(file));
  SHOW(close(file));
  SHOW(close(-1));
}

BEHAVIOUR(close_range_closes) {
  for (int i = 3; i < 10; ++i) {
    MUST(dup2(1, i));
  }
  SHOW(syscall(SYS_close_range, 5, 7, 0));
  for (int i = 3; i < 10; ++i) {
    say("%d %s", i, fcntl(i, F_GETFD) < 0 ? "closed" : "open");
  }
  SHOW(syscall(SYS_close_range, 3, 4, 4));
  SHOW(fcntl(3, F_GETFD));
  SHOW(syscall(SYS_close_range, 8, 5, 0));
  SHOW(syscall(SYS_close_range, 3, ~0U, 0));
  SHOW(dup(1));
}

// A child has its own table: closing there closes nothing here.
BEHAVIOUR(table_is_copied_by_fork) {
  const int file = make_file("file", "text");
  const pid_t child = start_child();
  if (child == 0) {
    close(file);
    _exit(dup(1) == file ? 0 : 1);
  }
  say_end("child", child);
  SHOW(fcntl(file, F_GETFD));
}

// kcmp-like identity through behaviour: truncation seen by all descriptors of a file.
BEHAVIOUR(two_opens_one_file) {
  const int one = make_file("file", "0123456789");
  const int other = (int)MUST(open("file", O_RDWR));
  SHOW(write(one, "ab", 2));
  char text[4];
  SHOW(read(other, text, 4));
  say_bytes("other", text, 4);
  SHOW(ftruncate(one, 3));
  SHOW(read(other, text, 4));
}
