// What calls on files say to wrong arguments, and which of several errors comes first.
#include <dirent.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <utime.h>

#include "contract.h"

#define BAD ((void*)8)

static char long_name[5000];
static const char* name_of(size_t size) {
  memset(long_name, 'n', size);
  long_name[size] = 0;
  return long_name;
}

// The errors that every call on a path gives: a bad pointer, an empty path, no such file, a file
// for a directory, a name that is too long, a loop of links.
#define PATH_ERRORS(call)           \
  do {                              \
    close(make_file("plain", "x")); \
    MUST(symlink("loop", "loop"));  \
    const char* path = BAD;         \
    SHOW(call);                     \
    path = "";                      \
    SHOW(call);                     \
    path = "missing/name";          \
    SHOW(call);                     \
    path = "plain/name";            \
    SHOW(call);                     \
    path = name_of(256);            \
    SHOW(call);                     \
    path = name_of(4096);           \
    SHOW(call);                     \
    path = "loop/name";             \
    SHOW(call);                     \
  } while (0)

BEHAVIOUR(open_path) {
  PATH_ERRORS(open(path, O_RDONLY));
}
BEHAVIOUR(create_path) {
  PATH_ERRORS(open(path, O_CREAT | O_RDWR, 0600));
}
BEHAVIOUR(creat_path) {
  PATH_ERRORS(creat(path, 0600));
}
BEHAVIOUR(stat_path) {
  struct stat status;
  PATH_ERRORS(stat(path, &status));
}
BEHAVIOUR(lstat_path) {
  struct stat status;
  PATH_ERRORS(lstat(path, &status));
}
BEHAVIOUR(access_path) {
  PATH_ERRORS(access(path, R_OK));
}
BEHAVIOUR(chmod_path) {
  PATH_ERRORS(chmod(path, 0600));
}
BEHAVIOUR(chown_path) {
  PATH_ERRORS(chown(path, 0, 0));
}
BEHAVIOUR(lchown_path) {
  PATH_ERRORS(lchown(path, 0, 0));
}
BEHAVIOUR(truncate_path) {
  PATH_ERRORS(truncate(path, 0));
}
BEHAVIOUR(unlink_path) {
  PATH_ERRORS(unlink(path));
}
BEHAVIOUR(rmdir_path) {
  PATH_ERRORS(rmdir(path));
}
BEHAVIOUR(mkdir_path) {
  PATH_ERRORS(mkdir(path, 0700));
}
BEHAVIOUR(mknod_path) {
  PATH_ERRORS(mknod(path, S_IFIFO | 0600, 0));
}
BEHAVIOUR(chdir_path) {
  PATH_ERRORS(chdir(path));
}
BEHAVIOUR(chroot_path) {
  PATH_ERRORS(chroot(path));
}
BEHAVIOUR(readlink_path) {
  char text[64];
  PATH_ERRORS(readlink(path, text, sizeof(text)));
}
BEHAVIOUR(symlink_path) {
  PATH_ERRORS(symlink("target", path));
}
BEHAVIOUR(symlink_target) {
  SHOW(symlink(BAD, "link"));
  SHOW(symlink("", "link"));
  SHOW(symlink(name_of(4096), "link"));
  SHOW(symlink(name_of(4095), "link"));
}
BEHAVIOUR(link_path) {
  close(make_file("old", ""));
  PATH_ERRORS(link("old", path));
}
BEHAVIOUR(link_source) {
  PATH_ERRORS(link(path, "new"));
}
BEHAVIOUR(rename_path) {
  close(make_file("old", ""));
  PATH_ERRORS(rename("old", path));
}
BEHAVIOUR(rename_source) {
  PATH_ERRORS(rename(path, "new"));
}
BEHAVIOUR(utimensat_path) {
  PATH_ERRORS(utimensat(AT_FDCWD, path, NULL, 0));
}
BEHAVIOUR(statfs_path) {
  struct statfs status;
  PATH_ERRORS(statfs(path, &status));
}
BEHAVIOUR(execve_path) {
  char* arguments[] = {"x", NULL};
  PATH_ERRORS(execve(path, arguments, NULL));
}
BEHAVIOUR(statx_path) {
  struct statx status;
  PATH_ERRORS(statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &status));
}
BEHAVIOUR(getxattr_path) {
  char value[16];
  PATH_ERRORS(getxattr(path, "user.name", value, sizeof(value)));
}

// What every call on a descriptor says to one that is closed, negative, or opened with O_PATH.
#define DESCRIPTOR_ERRORS(call)              \
  do {                                       \
    close(make_file("plain", "x"));          \
    int file = -1;                           \
    SHOW(call);                              \
    file = 99;                               \
    SHOW(call);                              \
    file = (int)MUST(open("plain", O_PATH)); \
    SHOW(call);                              \
  } while (0)

BEHAVIOUR(read_descriptor) {
  char byte;
  DESCRIPTOR_ERRORS(read(file, &byte, 1));
}
BEHAVIOUR(write_descriptor) {
  DESCRIPTOR_ERRORS(write(file, "x", 1));
}
BEHAVIOUR(lseek_descriptor) {
  DESCRIPTOR_ERRORS(lseek(file, 0, SEEK_SET));
}
BEHAVIOUR(fchmod_descriptor) {
  DESCRIPTOR_ERRORS(fchmod(file, 0600));
}
BEHAVIOUR(fchown_descriptor) {
  DESCRIPTOR_ERRORS(fchown(file, 0, 0));
}
BEHAVIOUR(ftruncate_descriptor) {
  DESCRIPTOR_ERRORS(ftruncate(file, 0));
}
BEHAVIOUR(fsync_descriptor) {
  DESCRIPTOR_ERRORS(fsync(file));
}
BEHAVIOUR(fdatasync_descriptor) {
  DESCRIPTOR_ERRORS(fdatasync(file));
}
BEHAVIOUR(syncfs_descriptor) {
  DESCRIPTOR_ERRORS(syncfs(file));
}
BEHAVIOUR(flock_descriptor) {
  DESCRIPTOR_ERRORS(flock(file, LOCK_SH));
}
BEHAVIOUR(fallocate_descriptor) {
  DESCRIPTOR_ERRORS(fallocate(file, 0, 0, 1));
}
BEHAVIOUR(dup_descriptor) {
  DESCRIPTOR_ERRORS(dup(file) > 0);
}
BEHAVIOUR(getfl_descriptor) {
  DESCRIPTOR_ERRORS(fcntl(file, F_GETFL));
}
BEHAVIOUR(setfl_descriptor) {
  DESCRIPTOR_ERRORS(fcntl(file, F_SETFL, 0));
}
BEHAVIOUR(fstatfs_descriptor) {
  struct statfs status;
  DESCRIPTOR_ERRORS(fstatfs(file, &status));
}
BEHAVIOUR(fstat_descriptor) {
  struct stat status;
  DESCRIPTOR_ERRORS(fstat(file, &status));
}
BEHAVIOUR(getdents_descriptor) {
  char records[512];
  DESCRIPTOR_ERRORS(syscall(SYS_getdents64, file, records, sizeof(records)));
}
BEHAVIOUR(readahead_descriptor) {
  DESCRIPTOR_ERRORS(readahead(file, 0, 1));
}
BEHAVIOUR(mmap_descriptor) {
  DESCRIPTOR_ERRORS(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0));
}
BEHAVIOUR(sendfile_descriptor) {
  const int out = make_file("out", "");
  DESCRIPTOR_ERRORS(sendfile(out, file, NULL, 1));
}
BEHAVIOUR(copy_file_range_descriptor) {
  const int out = make_file("out", "");
  DESCRIPTOR_ERRORS(copy_file_range(file, NULL, out, NULL, 1, 0));
}
BEHAVIOUR(splice_descriptor) {
  int ends[2];
  MUST(pipe(ends));
  DESCRIPTOR_ERRORS(splice(file, NULL, ends[1], NULL, 1, 0));
}
BEHAVIOUR(futimens_descriptor) {
  DESCRIPTOR_ERRORS(futimens(file, NULL));
}
BEHAVIOUR(fchdir_descriptor) {
  DESCRIPTOR_ERRORS(fchdir(file));
}
BEHAVIOUR(fgetxattr_descriptor) {
  char value[16];
  DESCRIPTOR_ERRORS(fgetxattr(file, "user.name", value, sizeof(value)));
}

BEHAVIOUR(positioned_transfers) {
  const int file = make_file("file", "123456");
  char text[8];
  struct iovec vector = {text, 4};
  SHOW(pread(file, text, 4, -1));
  SHOW(pwrite(file, text, 4, -1));
  SHOW(preadv(file, &vector, 1, -1));
  SHOW(preadv(file, &vector, -1, 0));
  SHOW(preadv(file, &vector, 1025, 0));
  SHOW(preadv(file, BAD, 1, 0));
  SHOW(pwritev(file, &vector, 1, -5));
  SHOW(preadv2(file, &vector, 1, -1, 0));
  SHOW(preadv2(file, &vector, 1, -2, 0));
  SHOW(preadv2(file, &vector, 1, 0, 0x10000));
  SHOW(pwritev2(file, &vector, 1, 0, RWF_APPEND));
  vector.iov_len = (size_t)-1;
  SHOW(readv(file, &vector, 1));
  vector.iov_len = 4;
  vector.iov_base = BAD;
  SHOW(pread(file, BAD, 4, 0));
  SHOW(preadv(file, &vector, 1, 0));
  SHOW(readv(file, &vector, 0));
  SHOW(readv(99, &vector, 0));
}

BEHAVIOUR(seeking) {
  const int file = make_file("file", "123456");
  SHOW(lseek(file, -1, SEEK_SET));
  SHOW(lseek(file, 0, 5));
  SHOW(lseek(file, 0, -1));
  SHOW(lseek(file, LONG_MAX, SEEK_SET));
  SHOW(lseek(file, 1, SEEK_CUR));
  SHOW(lseek(file, -7, SEEK_END));
  SHOW(lseek(file, 6, SEEK_DATA));
  SHOW(lseek(file, -1, SEEK_DATA));
  SHOW(lseek(file, 2, SEEK_HOLE));
}

BEHAVIOUR(open_flags) {
  MUST(mkdir("folder", 0700));
  close(make_file("file", "x"));
  MUST(symlink("file", "link"));
  SHOW(open("folder", O_WRONLY));
  SHOW(open("folder", O_RDWR));
  SHOW(open("folder", O_CREAT, 0600));
  SHOW(open("folder", O_RDONLY | O_TRUNC));
  SHOW(open("file", O_DIRECTORY));
  SHOW(open("link", O_NOFOLLOW));
  SHOW(open("file", O_CREAT | O_EXCL, 0600));
  SHOW(open("link", O_CREAT | O_EXCL, 0600));
  SHOW(open("new/", O_CREAT | O_WRONLY, 0600));
  SHOW(open("file/", O_RDONLY));
  SHOW(open(".", O_TMPFILE, 0600));
  SHOW(open("file", O_TMPFILE | O_RDWR, 0600));
  SHOW(open("missing", O_TMPFILE | O_RDWR, 0600));
  SHOW(open("file", O_CREAT | O_DIRECTORY, 0600));
  const int path = (int)MUST(open("link", O_PATH | O_NOFOLLOW));
  say("%x", fcntl(path, F_GETFL) & O_PATH);
  SHOW(openat(99, "file", O_RDONLY));
  SHOW(openat(path, "file", O_RDONLY));
  SHOW(openat(99, "/", O_RDONLY | O_DIRECTORY) > 0);
}

BEHAVIOUR(stat_flags) {
  close(make_file("file", "x"));
  struct stat status;
  struct statx more;
  SHOW(fstatat(AT_FDCWD, "file", &status, 0x20000000));
  SHOW(fstatat(99, "file", &status, 0));
  SHOW(fstatat(99, "", &status, AT_EMPTY_PATH));
  SHOW(fstatat(AT_FDCWD, "", &status, 0));
  SHOW(fstatat(AT_FDCWD, "", &status, AT_EMPTY_PATH));
  SHOW(fstatat(AT_FDCWD, "file", BAD, 0));
  SHOW(statx(AT_FDCWD, "file", 0x20000000, STATX_BASIC_STATS, &more));
  SHOW(statx(AT_FDCWD, "file", 0, 0x80000000U, &more));
  SHOW(statx(AT_FDCWD, "file", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, 0, &more));
  SHOW(statx(AT_FDCWD, "file", 0, STATX_BASIC_STATS, BAD));
  SHOW(statx(99, "file", 0, STATX_BASIC_STATS, &more));
  SHOW(statx(AT_FDCWD, "file", 0, 0, &more));
  FACT((more.stx_mask & STATX_TYPE) != 0);
  SHOW(syscall(SYS_faccessat2, AT_FDCWD, "file", R_OK, 0x20000000));
  SHOW(syscall(SYS_faccessat2, AT_FDCWD, "file", 8, 0));
  SHOW(syscall(SYS_faccessat2, AT_FDCWD, "file", R_OK, AT_EACCESS));
  SHOW(syscall(SYS_faccessat2, 99, "file", R_OK, 0));
  SHOW(access("file", -1));
}

BEHAVIOUR(mkdir_and_rmdir) {
  MUST(mkdir("folder", 0700));
  MUST(mkdir("folder/inner", 0700));
  SHOW(mkdir("folder", 0700));
  SHOW(mkdir(".", 0700));
  SHOW(mkdir("..", 0700));
  SHOW(mkdir("/", 0700));
  SHOW(mkdir("new/", 0700));
  SHOW(mkdirat(99, "x", 0700));
  SHOW(rmdir("folder"));
  SHOW(rmdir("."));
  SHOW(rmdir("folder/."));
  SHOW(rmdir("folder/inner/.."));
  SHOW(rmdir("/"));
  SHOW(unlink("folder"));
  SHOW(unlinkat(AT_FDCWD, "folder", 0x20000000));
  SHOW(unlinkat(99, "folder", AT_REMOVEDIR));
  SHOW(unlinkat(AT_FDCWD, "folder/inner/", AT_REMOVEDIR));
}

BEHAVIOUR(rename_errors) {
  MUST(mkdir("folder", 0700));
  MUST(mkdir("folder/inner", 0700));
  MUST(mkdir("empty", 0700));
  close(make_file("file", "x"));
  SHOW(rename("folder", "folder/inner/deeper"));
  SHOW(rename("folder", "folder"));
  SHOW(rename("file", "folder"));
  SHOW(rename("empty", "file"));
  SHOW(rename("empty", "folder"));
  SHOW(rename("file", "file/"));
  SHOW(rename("file/", "other"));
  SHOW(rename(".", "other"));
  SHOW(rename("folder/inner", "folder/inner/.."));
  SHOW(syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "empty", 1));
  SHOW(syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "empty", 3));
  SHOW(syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "missing", 2));
  SHOW(syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "empty", 0x80));
  SHOW(syscall(SYS_renameat2, 99, "file", AT_FDCWD, "empty", 0));
  SHOW(rename("empty", "empty2/"));
}

BEHAVIOUR(link_errors) {
  MUST(mkdir("folder", 0700));
  close(make_file("file", "x"));
  MUST(symlink("file", "link"));
  SHOW(link("folder", "other"));
  SHOW(link("file", "folder"));
  SHOW(link("file", "link"));
  SHOW(link("file", "new/"));
  SHOW(linkat(AT_FDCWD, "link", AT_FDCWD, "of-link", 0));
  say_stat("of-link");
  SHOW(linkat(AT_FDCWD, "link", AT_FDCWD, "of-file", AT_SYMLINK_FOLLOW));
  SHOW(linkat(AT_FDCWD, "file", AT_FDCWD, "other", 0x20000000));
  SHOW(linkat(99, "file", AT_FDCWD, "other", 0));
  SHOW(linkat(AT_FDCWD, "", AT_FDCWD, "other", AT_EMPTY_PATH));
}

BEHAVIOUR(mknod_kinds) {
  SHOW(mknod("regular", S_IFREG | 0600, 0));
  say_stat("regular");
  SHOW(mknod("plain", 0600, 0));
  SHOW(mknod("fifo", S_IFIFO | 0600, 0));
  SHOW(mknod("socket", S_IFSOCK | 0600, 0));
  say_stat("socket");
  SHOW(open("socket", O_RDONLY));
  SHOW(mknod("folder", S_IFDIR | 0600, 0));
  SHOW(mknod("link", S_IFLNK | 0600, 0));
  SHOW(mknod("odd", 0170000 | 0600, 0));
  SHOW(mknod("fifo", S_IFIFO | 0600, 0));
  SHOW(mknodat(99, "x", S_IFIFO | 0600, 0));
  const pid_t child = start_child();
  if (child == 0) {
    MUST(chmod(".", 0777));
    become_user();
    SHOW(mknod("device", S_IFCHR | 0600, 0x103));
    SHOW(mknod("of-user", S_IFIFO | 0600, 0));
    _exit(0);
  }
  say_end("user", child);
}

BEHAVIOUR(times) {
  const int file = make_file("file", "x");
  struct timespec both[2] = {{1, 1000000000}, {1, 0}};
  SHOW(futimens(file, both));
  both[0].tv_nsec = -1;
  SHOW(futimens(file, both));
  both[0].tv_nsec = UTIME_OMIT;
  both[1].tv_nsec = UTIME_OMIT;
  SHOW(utimensat(AT_FDCWD, "missing", both, 0));
  both[1] = (struct timespec){77, 5};
  SHOW(futimens(file, both));
  struct stat status;
  MUST(fstat(file, &status));
  say("%ld %ld", status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
  SHOW(utimensat(AT_FDCWD, "file", both, 0x20000000));
  SHOW(utimensat(AT_FDCWD, "file", BAD, 0));
  SHOW(utimensat(99, "file", both, 0));
  SHOW(syscall(SYS_utimensat, AT_FDCWD, NULL, both, 0));
  SHOW(syscall(SYS_utimensat, file, NULL, both, 0));
}
