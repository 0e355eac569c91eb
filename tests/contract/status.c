// What files tell and how it is changed: stat(2), statx(2), chmod(2), utimensat(2), truncate(2),
// fallocate(2), statfs(2).
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "contract.h"

BEHAVIOUR(types) {
  static const char* const kNames[] = {".", "/dev/null", "file", "link", "fifo"};
  close(make_file("file", "text"));
  MUST(symlink("file", "link"));
  MUST(mkfifo("fifo", 0600));
  for (size_t i = 0; i < 5; ++i) {
    struct stat status;
    struct stat itself;
    MUST(stat(kNames[i], &status));
    MUST(lstat(kNames[i], &itself));
    say("%s: %o %o", kNames[i], status.st_mode & S_IFMT, itself.st_mode & S_IFMT);
  }
}

BEHAVIOUR(fields) {
  struct stat status;
  const int file = make_file("file", "0123456789");
  MUST(fstat(file, &status));
  say("mode %o links %ld uid %d gid %d size %ld", status.st_mode, (long)status.st_nlink,
      status.st_uid, status.st_gid, (long)status.st_size);
  FACT(status.st_blocks > 0);
  FACT(status.st_blksize >= 512);
  FACT(status.st_ino != 0);
  FACT(status.st_mtim.tv_sec > 1600000000);
  MUST(stat("/dev/zero", &status));
  say("device %u:%u", major(status.st_rdev), minor(status.st_rdev));
}

BEHAVIOUR(errors) {
  struct stat status;
  close(make_file("file", ""));
  SHOW(stat("missing", &status));
  SHOW(stat("file/x", &status));
  SHOW(stat("", &status));
  SHOW(fstat(99, &status));
  SHOW(fstatat(AT_FDCWD, "", &status, AT_EMPTY_PATH));
  SHOW(fstatat(99, "file", &status, 0));
  SHOW(fstatat(AT_FDCWD, "file", &status, 0x40000000));
  SHOW(fstatat(1, "", &status, AT_EMPTY_PATH));
}

BEHAVIOUR(statx_fields) {
  struct statx status;
  close(make_file("file", "12345"));
  SHOW(statx(AT_FDCWD, "file", 0, STATX_BASIC_STATS, &status));
  FACT((status.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
  say("size %ld mode %o links %u", (long)status.stx_size, status.stx_mode, status.stx_nlink);
  SHOW(statx(AT_FDCWD, "file", 0x8000, STATX_SIZE, &status));
  SHOW(statx(AT_FDCWD, "file", 0, 0x80000000U, &status));
  SHOW(statx(AT_FDCWD, "missing", 0, STATX_SIZE, &status));
  SHOW(statx(1, "", AT_EMPTY_PATH, STATX_TYPE, &status));
}

BEHAVIOUR(change_mode) {
  const int file = make_file("file", "");
  MUST(symlink("file", "link"));
  SHOW(chmod("file", 0604));
  say_stat("file");
  SHOW(fchmod(file, 07777));
  say_stat("file");
  SHOW(chmod("link", 0600));
  say_stat("file");
  SHOW(chmod("missing", 0600));
  SHOW(fchmod(99, 0600));
  SHOW(chmod(".", 01777));
  SHOW(fchmodat(AT_FDCWD, "file", 0640, 0));
  say_stat("file");
}

// Writing by an ordinary user clears set-user-ID.
BEHAVIOUR(change_owner) {
  close(make_file("file", ""));
  MUST(chmod("file", 06755));
  SHOW(chown("file", 1000, 1001));
  say_stat("file");
  struct stat status;
  MUST(stat("file", &status));
  say("%d %d", status.st_uid, status.st_gid);
  SHOW(chown("file", -1, 5));
  MUST(stat("file", &status));
  say("%d %d", status.st_uid, status.st_gid);
  MUST(symlink("file", "link"));
  SHOW(lchown("link", 7, 7));
  MUST(lstat("link", &status));
  say("%d", status.st_uid);
  SHOW(chown("missing", 1, 1));
}

BEHAVIOUR(set_times) {
  const int file = make_file("file", "");
  const struct timespec times[] = {{1000000000, 5}, {1100000000, 999999999}};
  struct stat status;
  SHOW(utimensat(AT_FDCWD, "file", times, 0));
  MUST(stat("file", &status));
  say("%ld.%ld %ld.%ld", status.st_atim.tv_sec, status.st_atim.tv_nsec, status.st_mtim.tv_sec,
      status.st_mtim.tv_nsec);
  const struct timespec partly[] = {{0, UTIME_OMIT}, {42, 0}};
  SHOW(futimens(file, partly));
  MUST(stat("file", &status));
  say("%ld %ld", status.st_atim.tv_sec, status.st_mtim.tv_sec);
  const struct timespec bad[] = {{0, 1000000000}, {0, 0}};
  SHOW(futimens(file, bad));
  const struct timespec now[] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
  SHOW(futimens(file, now));
  MUST(stat("file", &status));
  FACT(status.st_mtim.tv_sec > 1600000000);
  SHOW(utimensat(AT_FDCWD, "missing", NULL, 0));
}

// Writing moves mtime and ctime; a change of mode moves ctime only.
BEHAVIOUR(times_move) {
  const int file = make_file("file", "x");
  const struct timespec old[] = {{1000, 0}, {1000, 0}};
  struct stat status;
  MUST(futimens(file, old));
  MUST(fchmod(file, 0600));
  MUST(fstat(file, &status));
  FACT(status.st_mtim.tv_sec == 1000);
  FACT(status.st_ctim.tv_sec > 1600000000);
  MUST(write(file, "y", 1));
  MUST(fstat(file, &status));
  FACT(status.st_mtim.tv_sec > 1600000000);
  MUST(mkdir("folder", 0700));
  MUST(utimensat(AT_FDCWD, "folder", old, 0));
  close(make_file("folder/new", ""));
  MUST(stat("folder", &status));
  FACT(status.st_mtim.tv_sec > 1600000000);
}

BEHAVIOUR(truncation) {
  const int file = make_file("file", "0123456789");
  SHOW(ftruncate(file, 4));
  say_file("file");
  SHOW(truncate("file", 7));
  say_file("file");
  SHOW(ftruncate(file, -1));
  SHOW(truncate("missing", 0));
  SHOW(truncate(".", 0));
  const int reader = (int)MUST(open("file", O_RDONLY));
  SHOW(ftruncate(reader, 0));
  int ends[2];
  MUST(pipe(ends));
  SHOW(ftruncate(ends[1], 0));
  SHOW(lseek(file, 0, SEEK_CUR));
}

BEHAVIOUR(allocation) {
  const int file = make_file("file", "abc");
  SHOW(fallocate(file, 0, 0, 10));
  say_file("file");
  SHOW(fallocate(file, FALLOC_FL_KEEP_SIZE, 0, 100));
  say_stat("file");
  SHOW(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1, 1));
  say_file("file");
  SHOW(fallocate(file, 0, -1, 10));
  SHOW(fallocate(file, 0, 0, 0));
  SHOW(fallocate((int)MUST(open("file", O_RDONLY)), 0, 0, 10));
  int ends[2];
  MUST(pipe(ends));
  SHOW(fallocate(ends[1], 0, 0, 10));
  SHOW(posix_fallocate(file, 0, 20));
  say_stat("file");
}

BEHAVIOUR(large_sparse_file) {
  const int file = make_file("file", "");
  SHOW(pwrite(file, "x", 1, 5L << 30));
  struct stat status;
  MUST(fstat(file, &status));
  say("size %ld", (long)status.st_size);
  FACT(status.st_blocks < 1000);
  char byte = 1;
  SHOW(pread(file, &byte, 1, 3L << 30));
  say("%d", byte);
}

BEHAVIOUR(file_system) {
  struct statfs system;
  SHOW(statfs(".", &system));
  FACT(system.f_bsize == 4096);
  FACT(system.f_namelen == 255);
  FACT(system.f_blocks >= system.f_bfree);
  SHOW(statfs("missing", &system));
  SHOW(fstatfs(99, &system));
  MUST(statfs("/proc", &system));
  say("proc %lx", (long)system.f_type);
  int ends[2];
  MUST(pipe(ends));
  MUST(fstatfs(ends[0], &system));
  say("pipe %lx", (long)system.f_type);
}

BEHAVIOUR(extended_attributes_of_missing) {
  char value[8];
  SHOW(syscall(SYS_getxattr, "missing", "user.none", value, 8));
}
