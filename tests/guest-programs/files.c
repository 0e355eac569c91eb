#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check.h"

// Files of the read-only root, its directories and links, /dev and /proc. The root that the test
// makes has /fixed/numbers ("0123456789" 500 times), /fixed/empty, /fixed/link → numbers,
// /fixed/loop → loop, /fixed/up → .. and /fixed/inner/.

static const char kNumbers[] = "/fixed/numbers";
enum { kNumbersSize = 5000 };

static void test_reading(void) {
  char buffer[8192];
  int file = open(kNumbers, O_RDONLY | O_CLOEXEC);
  CHECK(file >= 0);
  CHECK(read(file, buffer, 7) == 7 && memcmp(buffer, "0123456", 7) == 0);
  CHECK(read(file, buffer, sizeof(buffer)) == kNumbersSize - 7);
  CHECK(read(file, buffer, sizeof(buffer)) == 0);
  CHECK(lseek(file, 4, SEEK_SET) == 4);
  CHECK(read(file, buffer, 3) == 3 && memcmp(buffer, "456", 3) == 0);
  CHECK(lseek(file, -1, SEEK_END) == kNumbersSize - 1);
  CHECK(lseek(file, 1, SEEK_CUR) == kNumbersSize);
  CHECK_ERROR(lseek(file, -1, SEEK_SET), EINVAL);
  CHECK_ERROR(lseek(file, LONG_MAX, SEEK_CUR), EINVAL);
  CHECK_ERROR(lseek(file, 0, 77), EINVAL);
  CHECK(pread(file, buffer, 5, 4995) == 5 && memcmp(buffer, "56789", 5) == 0);
  CHECK(pread(file, buffer, 5, 4998) == 2);
  CHECK(pread(file, buffer, 5, 1 << 30) == 0);
  CHECK_ERROR(pread(file, buffer, 5, -1), EINVAL);
  CHECK(lseek(file, 0, SEEK_CUR) == kNumbersSize);
  char first[3];
  char second[4];
  struct iovec parts[] = {{first, 3}, {NULL, 0}, {second, 4}};
  CHECK(preadv(file, parts, 3, 10) == 7 && memcmp(first, "012", 3) == 0 &&
        memcmp(second, "3456", 4) == 0);
  CHECK_ERROR(write(file, "x", 1), EBADF);
  CHECK(fcntl(file, F_GETFD) == FD_CLOEXEC);
  CHECK((fcntl(file, F_GETFL) & O_ACCMODE) == O_RDONLY);
  int copy = fcntl(file, F_DUPFD, 20);
  CHECK(copy == 20 && fcntl(copy, F_GETFD) == 0);
  CHECK(lseek(copy, 3, SEEK_SET) == 3 && lseek(file, 0, SEEK_CUR) == 3);
  CHECK(dup2(file, 30) == 30 && close(30) == 0);
  CHECK_ERROR(dup3(file, file, 0), EINVAL);
  CHECK(close(copy) == 0);
  CHECK_ERROR(close(copy), EBADF);
  CHECK_ERROR(read(copy, buffer, 1), EBADF);
  close(file);
}

static void test_mapping(void) {
  int file = open(kNumbers, O_RDONLY);
  char* map = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, file, 0);
  CHECK(map != MAP_FAILED);
  CHECK(memcmp(map, "0123456789", 10) == 0 && memcmp(map + 4990, "0123456789", 10) == 0);
  CHECK(map[kNumbersSize] == 0 && map[8191] == 0);
  char* private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 4096);
  CHECK(private != MAP_FAILED && private[0] == '6');
  private[0] = 'x';
  CHECK(map[4096] == '6');
  CHECK(mprotect(map, 4096, PROT_READ | PROT_WRITE) == 0);
  map[1] = 'y';
  CHECK(map[0] == '0' && map[2] == '2');
  char again = 0;
  CHECK(pread(file, &again, 1, 1) == 1 && again == '1');
  CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) == MAP_FAILED &&
        errno == EACCES);
  CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 1) == MAP_FAILED && errno == EINVAL);
  munmap(map, 8192);
  munmap(private, 4096);
  close(file);
}

static void test_names(void) {
  struct stat status;
  CHECK(stat(kNumbers, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == kNumbersSize);
  const ino_t inode = status.st_ino;
  CHECK(stat("/fixed/link", &status) == 0 && status.st_ino == inode);
  CHECK(lstat("/fixed/link", &status) == 0 && S_ISLNK(status.st_mode) && status.st_size == 7);
  CHECK(stat("/fixed/up/fixed/./inner/../numbers", &status) == 0 && status.st_ino == inode);
  CHECK(stat("/../../fixed//numbers", &status) == 0 && status.st_ino == inode);
  CHECK_ERROR(stat("/fixed/numbers/", &status), ENOTDIR);
  CHECK_ERROR(stat("/fixed/numbers/x", &status), ENOTDIR);
  CHECK_ERROR(stat("/fixed/nothing", &status), ENOENT);
  CHECK_ERROR(stat("", &status), ENOENT);
  CHECK_ERROR(stat("/fixed/loop", &status), ELOOP);
  CHECK_ERROR(open("/fixed/link", O_RDONLY | O_NOFOLLOW), ELOOP);
  CHECK_ERROR(open(kNumbers, O_RDONLY | O_DIRECTORY), ENOTDIR);
  CHECK_ERROR(open(kNumbers, O_WRONLY), EROFS);
  CHECK_ERROR(open("/fixed/new", O_WRONLY | O_CREAT, 0600), EROFS);
  CHECK_ERROR(open(kNumbers, O_RDONLY | O_CREAT | O_EXCL, 0600), EEXIST);
  CHECK_ERROR(open("/fixed", O_WRONLY), EISDIR);
  CHECK_ERROR(mkdir("/fixed", 0700), EEXIST);
  CHECK_ERROR(mkdir("/fixed/new", 0700), EROFS);
  CHECK_ERROR(unlink(kNumbers), EROFS);
  CHECK_ERROR(unlink("/nothing"), EROFS);
  CHECK_ERROR(unlink("/nothing/at/all"), ENOENT);
  static char path[5000];
  memset(path, 'a', sizeof(path) - 1);
  CHECK_ERROR(stat(path, &status), ENAMETOOLONG);
  path[300] = 0;
  CHECK_ERROR(stat(path, &status), ENAMETOOLONG);
  char target[16];
  CHECK(readlink("/fixed/link", target, sizeof(target)) == 7 && memcmp(target, "numbers", 7) == 0);
  CHECK(readlink("/fixed/link", target, 3) == 3);
  CHECK_ERROR(readlink(kNumbers, target, sizeof(target)), EINVAL);
  CHECK_ERROR(readlink("/fixed/link", target, 0), EINVAL);
  CHECK(access(kNumbers, R_OK) == 0);
  CHECK_ERROR(access(kNumbers, X_OK), EACCES);
  CHECK_ERROR(access(kNumbers, W_OK), EROFS);
  char directory[64];
  CHECK(chdir("/fixed/inner") == 0 &&
        strcmp(getcwd(directory, sizeof(directory)), "/fixed/inner") == 0);
  CHECK(stat("../numbers", &status) == 0);
  CHECK(getcwd(directory, 5) == NULL && errno == ERANGE);
  CHECK_ERROR(chdir("../numbers"), ENOTDIR);
  int data = open("/fixed", O_RDONLY | O_DIRECTORY);
  CHECK(data >= 0 && fstatat(data, "numbers", &status, 0) == 0);
  CHECK_ERROR(fstatat(data, "numbers", &status, 0x40000000), EINVAL);
  CHECK_ERROR(fstatat(99, "numbers", &status, 0), EBADF);
  CHECK(fstatat(99, kNumbers, &status, 0) == 0);
  CHECK(fstatat(data, "", &status, AT_EMPTY_PATH) == 0 && S_ISDIR(status.st_mode));
  struct statx extended;
  CHECK(statx(data, "numbers", 0, STATX_BASIC_STATS, &extended) == 0 &&
        extended.stx_size == kNumbersSize && extended.stx_ino == inode);
  CHECK(fchdir(data) == 0 && access("link", F_OK) == 0);
  char buffer[16];
  CHECK_ERROR(read(data, buffer, 1), EISDIR);
  struct statfs system;
  CHECK(statfs("/", &system) == 0 && system.f_bsize == 4096);
  close(data);
  CHECK(chdir("/") == 0);
}

static void test_directories(void) {
  DIR* directory = opendir("/fixed");
  CHECK(directory != NULL);
  int count = 0;
  int seen_numbers = 0;
  int seen_inner = 0;
  for (struct dirent* entry; (entry = readdir(directory)) != NULL; ++count) {
    seen_numbers += strcmp(entry->d_name, "numbers") == 0 && entry->d_type == DT_REG;
    seen_inner += strcmp(entry->d_name, "inner") == 0 && entry->d_type == DT_DIR;
  }
  CHECK(count == 8 && seen_numbers == 1 && seen_inner == 1);
  rewinddir(directory);
  CHECK(readdir(directory) != NULL);
  CHECK(lseek(dirfd(directory), 0, SEEK_SET) == 0);
  char small[16];
  CHECK_ERROR(syscall(SYS_getdents64, dirfd(directory), small, sizeof(small)), EINVAL);
  closedir(directory);
  int file = open(kNumbers, O_RDONLY);
  CHECK_ERROR(syscall(SYS_getdents64, file, small, sizeof(small)), ENOTDIR);
  close(file);
}

static void test_devices(void) {
  char buffer[64];
  memset(buffer, 1, sizeof(buffer));
  int zero = open("/dev/zero", O_RDWR);
  CHECK(read(zero, buffer, sizeof(buffer)) == sizeof(buffer) && buffer[0] == 0 && buffer[63] == 0);
  CHECK(write(zero, buffer, 10) == 10);
  char* map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
  CHECK(map != MAP_FAILED && map[8191] == 0);
  munmap(map, 8192);
  int null = open("/dev/null", O_RDWR);
  CHECK(write(null, buffer, sizeof(buffer)) == sizeof(buffer) && read(null, buffer, 1) == 0);
  int full = open("/dev/full", O_RDWR);
  CHECK_ERROR(write(full, buffer, 1), ENOSPC);
  int random = open("/dev/urandom", O_RDONLY);
  char first[32];
  char second[32];
  CHECK(read(random, first, 32) == 32 && read(random, second, 32) == 32);
  CHECK(memcmp(first, second, 32) != 0);
  int file = open(kNumbers, O_RDONLY);
  CHECK(sendfile(null, file, NULL, 100000) == kNumbersSize);
  CHECK(lseek(file, 0, SEEK_CUR) == kNumbersSize);
  off_t offset = 4990;
  CHECK(sendfile(null, file, &offset, 100) == 10 && offset == kNumbersSize);
  struct stat status;
  CHECK(fstat(null, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == 0x103);
  close(file);
  close(random);
  close(full);
  close(null);
  close(zero);
}

static void test_proc(char** argv) {
  char buffer[4096];
  ssize_t size = readlink("/proc/self/exe", buffer, sizeof(buffer) - 1);
  CHECK(size > 0);
  buffer[size < 0 ? 0 : size] = 0;
  CHECK(strcmp(buffer, argv[0]) == 0);
  int file = open("/proc/self/cmdline", O_RDONLY);
  CHECK(read(file, buffer, sizeof(buffer)) >= (ssize_t)strlen(argv[0]) + 1 &&
        strcmp(buffer, argv[0]) == 0);
  close(file);
  static const char* const kFiles[] = {"/proc/cpuinfo",     "/proc/meminfo",   "/proc/uptime",
                                       "/proc/version",     "/proc/stat",      "/proc/self/maps",
                                       "/proc/self/status", "/proc/self/stat", "/proc/self/statm",
                                       "/proc/self/comm",   "/proc/1/auxv",    "/proc/self/environ",
                                       "/proc/loadavg",     "/proc/mounts"};
  for (size_t i = 0; i < sizeof(kFiles) / sizeof(kFiles[0]); ++i) {
    file = open(kFiles[i], O_RDONLY);
    size = read(file, buffer, sizeof(buffer));
    if (file < 0 || size <= 0) {
      printf("%s: ", kFiles[i]);
    }
    CHECK(file >= 0 && size > 0);
    close(file);
  }
  CHECK_ERROR(open("/proc/self/maps", O_WRONLY), EACCES);
  CHECK_ERROR(open("/proc/2/maps", O_RDONLY), ENOENT);
  CHECK(readlink("/proc/self/fd/1", buffer, sizeof(buffer)) == 12 &&
        memcmp(buffer, "/dev/console", 12) == 0);
}

int main(int argc, char** argv) {
  (void)argc;
  test_reading();
  test_mapping();
  test_names();
  test_directories();
  test_devices();
  test_proc(argv);
  return finish();
}
