// Pipes and FIFOs: pipe(7), pipe(2), fifo(7).
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "contract.h"

static int ends[2];

BEHAVIOUR(passes_bytes) {
  MUST(pipe(ends));
  char text[8];
  SHOW(write(ends[1], "hello", 5));
  SHOW(write(ends[1], "!", 1));
  SHOW(read(ends[0], text, 3));
  SHOW(read(ends[0], text, 8));
  say_bytes("rest", text, 3);
}

BEHAVIOUR(one_way) {
  MUST(pipe(ends));
  char byte;
  SHOW(write(ends[0], "x", 1));
  SHOW(read(ends[1], &byte, 1));
  FACT(fcntl(ends[0], F_GETFL) == O_RDONLY);
  FACT(fcntl(ends[1], F_GETFL) == O_WRONLY);
}

// The end of file comes after the last byte, when all writers are gone.
BEHAVIOUR(end_after_last_writer) {
  MUST(pipe(ends));
  const int copy = dup(ends[1]);
  char text[8];
  MUST(write(copy, "abc", 3));
  close(ends[1]);
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  SHOW(read(ends[0], text, 2));
  SHOW(read(ends[0], text, 8));
  SHOW(read(ends[0], text, 8));
  close(copy);
  SHOW(read(ends[0], text, 8));
}

BEHAVIOUR(no_reader) {
  MUST(pipe(ends));
  close(ends[0]);
  on_signal(SIGPIPE, count_signal, 0);
  SHOW(write(ends[1], "x", 1));
  say("SIGPIPE %d times", (int)signal_count);
  on_signal(SIGPIPE, SIG_IGN, 0);
  SHOW(write(ends[1], "x", 1));
}

BEHAVIOUR(broken_pipe_kills) {
  const pid_t child = start_child();
  if (child == 0) {
    MUST(pipe(ends));
    close(ends[0]);
    SHOW(write(ends[1], "x", 1));
    _exit(1);
  }
  say_end("child", child);
}

BEHAVIOUR(nonblocking) {
  MUST(pipe2(ends, O_NONBLOCK | O_CLOEXEC));
  char text[4];
  SHOW(fcntl(ends[0], F_GETFD));
  SHOW(read(ends[0], text, 4));
  SHOW(write(ends[1], "abc", 3));
  SHOW(read(ends[0], text, 4));
  SHOW(pipe2(ends, O_APPEND));
  SHOW(pipe((int*)8));
}

// The capacity is 64 KiB; a full pipe refuses PIPE_BUF bytes as a whole and takes more in part.
BEHAVIOUR(capacity) {
  MUST(pipe2(ends, O_NONBLOCK));
  static char block[PIPE_BUF * 2];
  long total = 0;
  for (ssize_t size; (size = write(ends[1], block, PIPE_BUF)) > 0; total += size) {
  }
  say("took %ld, then %s", total, error_name(errno));
  SHOW(fcntl(ends[0], F_GETPIPE_SZ));
  SHOW(read(ends[0], block, PIPE_BUF));
  SHOW(write(ends[1], block, sizeof(block)));
  SHOW(write(ends[1], block, 1));
}

BEHAVIOUR(set_capacity) {
  MUST(pipe2(ends, O_NONBLOCK));
  static char block[8192];
  SHOW(fcntl(ends[1], F_SETPIPE_SZ, 4096));
  SHOW(write(ends[1], block, 4096));
  SHOW(write(ends[1], block, 1));
  SHOW(fcntl(ends[1], F_SETPIPE_SZ, 5000));
  SHOW(write(ends[1], block, 4096));
  SHOW(fcntl(ends[1], F_SETPIPE_SZ, 4096));
}

BEHAVIOUR(bytes_waiting) {
  MUST(pipe(ends));
  int count = -1;
  MUST(write(ends[1], "hello", 5));
  SHOW(ioctl(ends[0], FIONREAD, &count));
  say("%d bytes", count);
}

// Writes of up to PIPE_BUF bytes are never mixed with those of others.
BEHAVIOUR(atomic_writes) {
  enum { kWriters = 4, kWrites = 60, kSize = PIPE_BUF };
  MUST(pipe(ends));
  for (int i = 0; i < kWriters; ++i) {
    if (start_child() == 0) {
      static char block[kSize];
      memset(block, 'a' + i, sizeof(block));
      for (int round = 0; round < kWrites; ++round) {
        if (write(ends[1], block, sizeof(block)) != kSize) {
          _exit(1);
        }
      }
      _exit(0);
    }
  }
  close(ends[1]);
  static char block[kSize];
  int mixed = 0;
  int blocks = 0;
  for (size_t have = 0;;) {
    const ssize_t size = read(ends[0], block + have, kSize - have);
    if (size <= 0) {
      break;
    }
    have += (size_t)size;
    if (have == kSize) {
      have = 0;
      ++blocks;
      mixed += memcmp(block, block + 1, kSize - 1) != 0;
    }
  }
  say("%d blocks, %d mixed", blocks, mixed);
  for (int i = 0; i < kWriters; ++i) {
    int status;
    MUST(wait(&status));
    say_status("writer", status);
  }
}

// A blocked reader gets what comes, without waiting for all it asked for.
BEHAVIOUR(reader_blocks) {
  MUST(pipe(ends));
  const pid_t child = start_child();
  if (child == 0) {
    char text[100];
    SHOW(read(ends[0], text, sizeof(text)));
    _exit(0);
  }
  wait_until_asleep(child);
  MUST(write(ends[1], "late", 4));
  say_end("reader", child);
}

// A blocked writer goes on when there is room, and writes everything.
BEHAVIOUR(writer_blocks) {
  MUST(pipe(ends));
  const pid_t child = start_child();
  static char block[200000];
  if (child == 0) {
    close(ends[0]);
    SHOW(write(ends[1], block, sizeof(block)));
    _exit(0);
  }
  close(ends[1]);
  long total = 0;
  for (ssize_t size; (size = read(ends[0], block, 5000)) > 0; total += size) {
  }
  say("read %ld", total);
  say_end("writer", child);
}

// A write that a signal interrupts after some bytes returns their count.
BEHAVIOUR(interrupted_write_is_partial) {
  MUST(pipe(ends));
  static char block[100000];
  on_signal(SIGUSR1, ignore_signal, 0);
  const pid_t nagger = start_nagging(SIGUSR1);
  SHOW(write(ends[1], block, sizeof(block)));
  SHOW(write(ends[1], block, 10));
  stop_nagging(nagger);
}

BEHAVIOUR(poll_states) {
  MUST(pipe(ends));
  struct pollfd both[] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}};
  SHOW(poll(both, 2, 0));
  say("%x %x", both[0].revents, both[1].revents);
  MUST(write(ends[1], "x", 1));
  SHOW(poll(both, 2, 0));
  say("%x %x", both[0].revents, both[1].revents);
  close(ends[1]);
  SHOW(poll(both, 1, 0));
  say("%x", both[0].revents);
  MUST(pipe(ends));
  close(ends[0]);
  both[1].fd = ends[1];
  SHOW(poll(both + 1, 1, 0));
  say("%x", both[1].revents);
}

// Opening a FIFO for writing waits for a reader, or gives ENXIO with O_NONBLOCK.
BEHAVIOUR(named) {
  SHOW(mkfifo("fifo", 0640));
  say_stat("fifo");
  SHOW(mkfifo("fifo", 0640));
  SHOW(open("fifo", O_WRONLY | O_NONBLOCK));
  const int reader = (int)DOES(open("fifo", O_RDONLY | O_NONBLOCK));
  char text[8];
  SHOW(read(reader, text, 8));
  const int writer = (int)DOES(open("fifo", O_WRONLY | O_NONBLOCK));
  SHOW(read(reader, text, 8));
  SHOW(write(writer, "via fifo", 8));
  SHOW(read(reader, text, 8));
  close(writer);
  SHOW(read(reader, text, 8));
}

BEHAVIOUR(named_opens_meet) {
  MUST(mkfifo("fifo", 0600));
  const pid_t child = start_child();
  if (child == 0) {
    const int writer = (int)MUST(open("fifo", O_WRONLY));
    MUST(write(writer, "met", 3));
    _exit(0);
  }
  const int reader = (int)MUST(open("fifo", O_RDONLY));
  char text[8];
  SHOW(read(reader, text, 8));
  SHOW(read(reader, text, 8));
  say_end("writer", child);
}

// A pipe without a name is opened again by way of its descriptor: it has one reader more.
BEHAVIOUR(opened_through_descriptor) {
  MUST(pipe(ends));
  char name[32];
  snprintf(name, sizeof(name), "/proc/self/fd/%d", ends[0]);
  const int reader = open(name, O_RDONLY);
  FACT(reader >= 0);
  close(ends[0]);
  SHOW(write(ends[1], "ab", 2));
  char text[4];
  SHOW(read(reader, text, sizeof(text)));
  say_bytes("read", text, 2);
  close(ends[1]);
  SHOW(read(reader, text, sizeof(text)));
}
