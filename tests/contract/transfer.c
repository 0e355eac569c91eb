// From one descriptor to another: sendfile(2), copy_file_range(2), splice(2), tee(2).
#include <sys/sendfile.h>

#include "contract.h"

static int ends[2];

BEHAVIOUR(sendfile_to_file) {
  const int from = make_file("from", "0123456789");
  const int to = make_file("to", "");
  SHOW(sendfile(to, from, NULL, 4));
  SHOW(lseek(from, 0, SEEK_CUR));
  off_t offset = 6;
  SHOW(sendfile(to, from, &offset, 100));
  say("offset %ld", (long)offset);
  SHOW(lseek(from, 0, SEEK_CUR));
  SHOW(sendfile(to, from, &offset, 100));
  say_file("to");
}

BEHAVIOUR(sendfile_to_pipe) {
  const int from = make_file("from", "0123456789");
  MUST(pipe(ends));
  char text[16];
  SHOW(sendfile(ends[1], from, NULL, 100));
  SHOW(read(ends[0], text, 16));
  say_bytes("text", text, 10);
}

BEHAVIOUR(sendfile_errors) {
  const int from = make_file("from", "0123456789");
  MUST(pipe(ends));
  SHOW(sendfile(from, ends[0], NULL, 5));
  SHOW(sendfile(99, from, NULL, 5));
  SHOW(sendfile((int)MUST(open("from", O_RDONLY)), from, NULL, 5));
  off_t offset = -1;
  SHOW(sendfile(ends[1], from, &offset, 5));
  SHOW(sendfile(ends[1], from, (off_t*)8, 5));
}

BEHAVIOUR(copy_range) {
  const int from = make_file("from", "0123456789");
  const int to = make_file("to", "abcdef");
  SHOW(copy_file_range(from, NULL, to, NULL, 3, 0));
  loff_t source = 7;
  loff_t target = 4;
  SHOW(copy_file_range(from, &source, to, &target, 100, 0));
  say("%ld %ld", (long)source, (long)target);
  say_file("to");
  SHOW(copy_file_range(from, &source, to, &target, 100, 0));
  SHOW(copy_file_range(from, NULL, to, NULL, 3, 1));
  MUST(pipe(ends));
  SHOW(copy_file_range(from, NULL, ends[1], NULL, 3, 0));
  SHOW(copy_file_range(from, NULL, (int)MUST(open("to", O_RDONLY)), NULL, 3, 0));
}

BEHAVIOUR(copy_range_overlap) {
  const int file = make_file("file", "0123456789");
  loff_t source = 0;
  loff_t target = 3;
  SHOW(copy_file_range(file, &source, file, &target, 5, 0));
  source = 0;
  target = 5;
  SHOW(copy_file_range(file, &source, file, &target, 5, 0));
  say_file("file");
}

BEHAVIOUR(splice_both_ways) {
  const int from = make_file("from", "0123456789");
  const int to = make_file("to", "");
  MUST(pipe(ends));
  SHOW(splice(from, NULL, ends[1], NULL, 6, 0));
  SHOW(splice(ends[0], NULL, to, NULL, 100, 0));
  loff_t offset = 8;
  SHOW(splice(from, &offset, ends[1], NULL, 100, 0));
  say("offset %ld", (long)offset);
  SHOW(splice(ends[0], NULL, to, NULL, 1, 0));
  say_file("to");
}

BEHAVIOUR(splice_errors) {
  const int from = make_file("from", "0123456789");
  const int to = make_file("to", "");
  MUST(pipe2(ends, O_NONBLOCK));
  SHOW(splice(from, NULL, to, NULL, 5, 0));
  SHOW(splice(ends[0], NULL, to, NULL, 5, 0));
  loff_t offset = 0;
  SHOW(splice(ends[0], &offset, to, NULL, 5, 0));
  SHOW(splice(99, NULL, ends[1], NULL, 5, 0));
  SHOW(splice(ends[0], NULL, ends[1], NULL, 5, 0));
}

BEHAVIOUR(tee_keeps) {
  int second[2];
  MUST(pipe(ends));
  MUST(pipe(second));
  MUST(write(ends[1], "hello", 5));
  SHOW(tee(ends[0], second[1], 100, 0));
  char text[8];
  SHOW(read(second[0], text, 8));
  SHOW(read(ends[0], text, 8));
  SHOW(tee(ends[0], make_file("file", ""), 10, 0));
}

BEHAVIOUR(vmsplice_writes) {
  MUST(pipe(ends));
  struct iovec parts[] = {{(char[]){'a', 'b'}, 2}, {(char[]){'c'}, 1}};
  SHOW(vmsplice(ends[1], parts, 2, 0));
  char text[8];
  SHOW(read(ends[0], text, 8));
  say_bytes("text", text, 3);
}
