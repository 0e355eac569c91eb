// read, write, positions and vectors: read(2), write(2), lseek(2), readv(2), pread(2).
#include <limits.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "contract.h"

BEHAVIOUR(end_of_file) {
  const int file = make_file("file", "abc");
  char text[8];
  SHOW(read(file, text, 2));
  SHOW(read(file, text, 8));
  SHOW(read(file, text, 8));
  SHOW(lseek(file, 100, SEEK_SET));
  SHOW(read(file, text, 8));
}

// The direction in which a descriptor was opened decides.
BEHAVIOUR(wrong_direction) {
  close(make_file("file", "abc"));
  char byte;
  const int reader = (int)MUST(open("file", O_RDONLY));
  const int writer = (int)MUST(open("file", O_WRONLY));
  SHOW(write(reader, "x", 1));
  SHOW(read(writer, &byte, 1));
  SHOW(read(99, &byte, 1));
  SHOW(write(-1, "x", 1));
  SHOW(read((int)MUST(open(".", O_RDONLY)), &byte, 1));
}

// Bad buffers give EFAULT; a size of zero touches nothing.
BEHAVIOUR(bad_buffers) {
  const int file = make_file("file", "abc");
  SHOW(read(file, (void*)8, 2));
  SHOW(write(file, (void*)8, 2));
  SHOW(read(file, (void*)8, 0));
  SHOW(write(file, (void*)8, 0));
  SHOW(lseek(file, 0, SEEK_CUR));
  say_file("file");
}

// Writing past the end leaves a hole that reads as zeros.
BEHAVIOUR(hole) {
  const int file = make_file("file", "a");
  SHOW(lseek(file, 4, SEEK_SET));
  SHOW(write(file, "b", 1));
  say_file("file");
  say_stat("file");
}

BEHAVIOUR(seek_results) {
  const int file = make_file("file", "0123456789");
  SHOW(lseek(file, 3, SEEK_SET));
  SHOW(lseek(file, 4, SEEK_CUR));
  SHOW(lseek(file, -2, SEEK_END));
  SHOW(lseek(file, 5, SEEK_END));
  SHOW(lseek(file, -1, SEEK_SET));
  SHOW(lseek(file, -100, SEEK_CUR));
  SHOW(lseek(file, 0, SEEK_CUR));
  SHOW(lseek(file, 0, 42));
  SHOW(lseek(file, LONG_MAX, SEEK_SET) == LONG_MAX || errno == EINVAL);
  SHOW(lseek(99, 0, SEEK_SET));
  say_stat("file");
}

// SEEK_DATA and SEEK_HOLE: the end of a file is a hole; beyond it is ENXIO.
BEHAVIOUR(seek_data_and_hole) {
  const int file = make_file("file", "0123456789");
  SHOW(lseek(file, 4, SEEK_DATA));
  SHOW(lseek(file, 4, SEEK_HOLE));
  SHOW(lseek(file, 10, SEEK_DATA));
  SHOW(lseek(file, 10, SEEK_HOLE));
}

// A pipe, a FIFO and a socket have no position.
BEHAVIOUR(no_position_in_pipes) {
  int ends[2];
  MUST(pipe(ends));
  char byte;
  SHOW(lseek(ends[0], 0, SEEK_CUR));
  SHOW(pread(ends[0], &byte, 1, 0));
  SHOW(pwrite(ends[1], "x", 1, 0));
}

// pread and pwrite leave the position alone.
BEHAVIOUR(positioned) {
  const int file = make_file("file", "0123456789");
  char text[8];
  SHOW(lseek(file, 2, SEEK_SET));
  SHOW(pread(file, text, 3, 5));
  say_bytes("read", text, 3);
  SHOW(pwrite(file, "ABC", 3, 9));
  SHOW(lseek(file, 0, SEEK_CUR));
  SHOW(pread(file, text, 8, 12));
  SHOW(pread(file, text, 8, -1));
  SHOW(pwrite(file, text, 8, -1));
  say_file("file");
}

BEHAVIOUR(vectors) {
  const int file = make_file("file", "");
  char one[4] = "one";
  char two[4] = "two";
  const struct iovec out[] = {{one, 3}, {NULL, 0}, {two, 3}};
  SHOW(writev(file, out, 3));
  say_file("file");
  char first[2];
  char second[9];
  const struct iovec in[] = {{first, 2}, {second, 9}};
  SHOW(preadv(file, in, 2, 0));
  say_bytes("first", first, 2);
  say_bytes("second", second, 4);
  SHOW(pwritev(file, out, 1, 10));
  SHOW(readv(file, in, 0));
  SHOW(lseek(file, 0, SEEK_CUR));
}

// IOV_MAX entries are the limit, and their lengths' sum must fit ssize_t.
BEHAVIOUR(vector_limits) {
  const int file = make_file("file", "abc");
  static struct iovec many[1025];
  char byte;
  for (int i = 0; i < 1025; ++i) {
    many[i] = (struct iovec){&byte, 0};
  }
  SHOW(readv(file, many, 1024));
  SHOW(readv(file, many, 1025));
  SHOW(readv(file, many, -1));
  many[0].iov_len = SSIZE_MAX;
  many[1].iov_len = SSIZE_MAX;
  SHOW(readv(file, many, 2));
  SHOW(readv(file, (struct iovec*)8, 1));
  const struct iovec partly[] = {{&byte, 1}, {(void*)8, 1}};
  SHOW(readv(file, partly, 2));
}

// Descriptors that share an open file share its position; two opens do not.
BEHAVIOUR(shared_position) {
  const int file = make_file("file", "0123456789");
  const int copy = dup(file);
  const int other = (int)MUST(open("file", O_RDONLY));
  SHOW(lseek(copy, 5, SEEK_SET));
  SHOW(lseek(file, 0, SEEK_CUR));
  SHOW(lseek(other, 0, SEEK_CUR));
  const pid_t child = start_child();
  if (child == 0) {
    lseek(file, 7, SEEK_SET);
    _exit(0);
  }
  say_end("child", child);
  SHOW(lseek(file, 0, SEEK_CUR));
}

// A write beyond RLIMIT_FSIZE is cut there, then gives SIGXFSZ and EFBIG.
BEHAVIOUR(file_size_limit) {
  const struct rlimit limit = {6, RLIM_INFINITY};
  const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
  const int file = make_file("file", "");
  on_signal(SIGXFSZ, count_signal, 0);
  MUST(setrlimit(RLIMIT_FSIZE, &limit));
  const ssize_t first = write(file, "12345678", 8);
  const ssize_t second = write(file, "9", 1);
  const int error = errno;
  const int truncated = ftruncate(file, 7);
  MUST(setrlimit(RLIMIT_FSIZE, &none));
  say("%ld, %ld, %s, %d; SIGXFSZ %d times", (long)first, (long)second, error_name(error), truncated,
      (int)signal_count);
  say_file("file");
}

// /dev/null, /dev/zero and /dev/full.
BEHAVIOUR(devices) {
  char text[4] = "abc";
  const int null = (int)DOES(open("/dev/null", O_RDWR));
  SHOW(write(null, text, 4));
  SHOW(read(null, text, 4));
  const int zero = (int)DOES(open("/dev/zero", O_RDWR));
  SHOW(read(zero, text, 4));
  say_bytes("zero", text, 4);
  const int full = (int)DOES(open("/dev/full", O_RDWR));
  SHOW(write(full, text, 4));
  SHOW(read(full, text, 4));
}

// Flags of preadv2: an unknown one is refused.
BEHAVIOUR(preadv2_flags) {
  const int file = make_file("file", "abc");
  char text[4];
  const struct iovec in = {text, 3};
  SHOW(preadv2(file, &in, 1, -1, 0));
  SHOW(lseek(file, 0, SEEK_CUR));
  SHOW(preadv2(file, &in, 1, 0, 0x4000000));
  SHOW(pwritev2(file, &in, 1, 0, RWF_APPEND));
  say_file("file");
}

// fsync and fdatasync take files, not pipes.
BEHAVIOUR(synchronize) {
  int ends[2];
  MUST(pipe(ends));
  const int file = make_file("file", "abc");
  SHOW(fsync(file));
  SHOW(fdatasync(file));
  SHOW(fsync(ends[0]));
  SHOW(fsync(99));
  SHOW(syncfs(file));
}
