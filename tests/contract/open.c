// open, openat and their flags: open(2).
#include <sys/resource.h>

#include "contract.h"

// O_CREAT makes a file with mode & ~umask; a second open finds it and keeps the mode.
BEHAVIOUR(create_applies_umask) {
  umask(027);
  close((int)DOES(open("file", O_CREAT | O_WRONLY, 0666)));
  say_stat("file");
  close((int)DOES(open("file", O_CREAT | O_WRONLY, 0777)));
  say_stat("file");
}

// O_CREAT | O_EXCL fails where the name exists, even as a dangling link.
BEHAVIOUR(exclusive) {
  DOES(open("file", O_CREAT | O_EXCL | O_RDWR, 0600));
  SHOW(open("file", O_CREAT | O_EXCL | O_RDWR, 0600));
  MUST(symlink("nowhere", "link"));
  SHOW(open("link", O_CREAT | O_EXCL | O_RDWR, 0600));
  say_stat("nowhere");
}

// O_CREAT through a dangling link makes the link's target.
BEHAVIOUR(create_through_dangling_link) {
  MUST(symlink("target", "link"));
  DOES(open("link", O_CREAT | O_RDWR, 0600));
  say_stat("target");
}

// O_TRUNC empties a file that is opened for writing, and leaves its mode.
BEHAVIOUR(truncate_flag) {
  close(make_file("file", "contents"));
  DOES(open("file", O_WRONLY | O_TRUNC));
  say_stat("file");
}

// The errors of names: missing, not a directory, a directory for writing, empty, too long.
BEHAVIOUR(errors_of_names) {
  static char long_name[300];
  memset(long_name, 'n', sizeof(long_name) - 1);
  close(make_file("file", ""));
  SHOW(open("missing", O_RDONLY));
  SHOW(open("missing/file", O_CREAT | O_RDWR, 0600));
  SHOW(open("file/inner", O_RDONLY));
  SHOW(open("file/", O_RDONLY));
  SHOW(open(".", O_RDWR));
  SHOW(open(".", O_CREAT | O_RDONLY, 0600));
  SHOW(open("", O_RDONLY));
  SHOW(open("new/", O_CREAT | O_RDWR, 0600));
  SHOW(open(long_name, O_RDONLY));
  long_name[255] = 0;
  SHOW(open(long_name, O_RDONLY));
  SHOW(open((const char*)1, O_RDONLY));
}

BEHAVIOUR(directory_flag) {
  close(make_file("file", ""));
  MUST(mkdir("folder", 0700));
  SHOW(open("file", O_RDONLY | O_DIRECTORY));
  DOES(open("folder", O_RDONLY | O_DIRECTORY));
  SHOW(open("folder", O_RDWR | O_DIRECTORY));
}

// O_NOFOLLOW concerns the last component only; O_PATH | O_NOFOLLOW opens the link itself.
BEHAVIOUR(no_follow) {
  close(make_file("file", ""));
  MUST(symlink("file", "link"));
  MUST(symlink(".", "here"));
  SHOW(open("link", O_RDONLY | O_NOFOLLOW));
  DOES(open("here/file", O_RDONLY | O_NOFOLLOW));
  const int link = (int)DOES(open("link", O_PATH | O_NOFOLLOW));
  struct stat status;
  MUST(fstat(link, &status));
  FACT(S_ISLNK(status.st_mode));
}

// An O_PATH descriptor names a file and cannot be read, written or mapped.
BEHAVIOUR(path_flag) {
  close(make_file("file", "text"));
  const int path = (int)DOES(open("file", O_PATH));
  char byte;
  SHOW(read(path, &byte, 1));
  SHOW(write(path, "x", 1));
  SHOW(fchmod(path, 0600));
  struct stat status;
  SHOW(fstat(path, &status));
  FACT((fcntl(path, F_GETFL) & O_PATH) != 0);
  SHOW(fcntl(path, F_SETFL, O_NONBLOCK));
  SHOW(close(path));
}

// The lowest free descriptor is given.
BEHAVIOUR(lowest_descriptor) {
  SHOW(open("/dev/null", O_RDONLY));
  SHOW(open("/dev/null", O_RDONLY));
  SHOW(open("/dev/null", O_RDONLY));
  SHOW(close(4));
  SHOW(open("/dev/null", O_RDONLY));
  SHOW(close(0));
  SHOW(open("/dev/null", O_RDONLY));
}

// Every O_APPEND write goes to the end, wherever the position was, and moves it there.
BEHAVIOUR(append) {
  close(make_file("file", "12345"));
  const int file = (int)MUST(open("file", O_RDWR | O_APPEND));
  SHOW(lseek(file, 0, SEEK_CUR));
  SHOW(write(file, "abc", 3));
  SHOW(lseek(file, 1, SEEK_SET));
  SHOW(write(file, "X", 1));
  SHOW(lseek(file, 0, SEEK_CUR));
  SHOW(pwrite(file, "end", 3, 0));
  say_file("file");
}

// Relative names start at the directory's descriptor, absolute ones ignore it.
BEHAVIOUR(openat_names) {
  MUST(mkdir("folder", 0700));
  const int folder = (int)MUST(open("folder", O_RDONLY));
  const int file = (int)DOES(openat(folder, "file", O_CREAT | O_RDWR, 0600));
  say_stat("folder/file");
  DOES(openat(folder, "../folder/file", O_RDONLY));
  SHOW(openat(file, "x", O_RDONLY));
  SHOW(openat(99, "x", O_RDONLY));
  DOES(openat(99, "/dev/null", O_RDONLY));
  DOES(openat(AT_FDCWD, "folder/file", O_RDONLY));
}

// Links are followed up to 40 deep.
BEHAVIOUR(chain_of_links) {
  close(make_file("l0", "found"));
  for (int i = 1; i <= 41; ++i) {
    char from[16];
    char to[16];
    snprintf(from, sizeof(from), "l%d", i - 1);
    snprintf(to, sizeof(to), "l%d", i);
    MUST(symlink(from, to));
  }
  DOES(open("l40", O_RDONLY));
  SHOW(open("l41", O_RDONLY));
}

// An opened file outlives its last name; a new file of that name is another one.
BEHAVIOUR(unlinked_while_open) {
  const int file = make_file("file", "old");
  SHOW(unlink("file"));
  SHOW(open("file", O_RDONLY));
  close(make_file("file", "new"));
  char text[8];
  SHOW(pread(file, text, 8, 0));
  struct stat status;
  MUST(fstat(file, &status));
  say("links %ld", (long)status.st_nlink);
  say_file("file");
}

// O_TMPFILE makes a file without a name, which linkat can name.
BEHAVIOUR(temporary_file) {
  const int file = (int)DOES(open(".", O_TMPFILE | O_RDWR, 0640));
  SHOW(write(file, "hello", 5));
  char path[32];
  snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
  SHOW(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
  say_stat("named");
  SHOW(open(".", O_TMPFILE | O_RDONLY, 0640));
}

// RLIMIT_NOFILE is one more than the greatest descriptor.
BEHAVIOUR(too_many) {
  const struct rlimit limit = {8, 8};
  MUST(setrlimit(RLIMIT_NOFILE, &limit));
  int last = 0;
  for (int descriptor; (descriptor = open("/dev/null", O_RDONLY)) >= 0;) {
    last = descriptor;
  }
  say("last %d, then %s", last, error_name(errno));
  SHOW(dup(0));
  SHOW(dup2(0, 8));
  SHOW(fcntl(0, F_DUPFD, 8));
  int ends[2];
  close(7);
  SHOW(pipe(ends));
}
