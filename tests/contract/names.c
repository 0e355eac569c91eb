// Names of files: mkdir, rmdir, rename, link, unlink, symlink, readlink and their errors.
#include <limits.h>
#include <stdio.h>

#include "contract.h"

BEHAVIOUR(make_directory) {
  umask(022);
  SHOW(mkdir("folder", 0777));
  say_stat("folder");
  SHOW(mkdir("folder", 0777));
  close(make_file("file", ""));
  SHOW(mkdir("file", 0777));
  SHOW(mkdir("missing/inner", 0777));
  SHOW(mkdir("file/inner", 0777));
  SHOW(mkdir("trailing/", 0777));
  SHOW(mkdir("", 0777));
  SHOW(mkdir("/", 0777));
  SHOW(mkdir("folder/.", 0777));
  SHOW(mkdir("folder/..", 0777));
}

BEHAVIOUR(remove_directory) {
  MUST(mkdir("folder", 0777));
  MUST(mkdir("folder/inner", 0777));
  close(make_file("file", ""));
  MUST(symlink("folder", "link"));
  SHOW(rmdir("folder"));
  SHOW(rmdir("file"));
  SHOW(rmdir("link"));
  SHOW(rmdir("missing"));
  SHOW(rmdir("folder/inner/."));
  SHOW(rmdir("folder/inner/.."));
  SHOW(rmdir("/"));
  SHOW(rmdir("folder/inner/"));
  SHOW(rmdir("folder"));
}

// The working directory may be removed; names in it are gone.
BEHAVIOUR(removed_working_directory) {
  MUST(mkdir("folder", 0777));
  MUST(chdir("folder"));
  SHOW(rmdir("../folder"));
  char path[PATH_MAX];
  FACT(getcwd(path, sizeof(path)) != NULL);
  SHOW(open("file", O_CREAT | O_RDWR, 0600));
  SHOW(mkdir("inner", 0700));
  SHOW(open("..", O_RDONLY) >= 0);
  DOES(open(".", O_RDONLY));
}

BEHAVIOUR(unlink_cases) {
  MUST(mkdir("folder", 0777));
  close(make_file("file", "text"));
  MUST(symlink("file", "link"));
  SHOW(unlink("folder"));
  SHOW(unlink("link"));
  say_file("file");
  SHOW(unlink("file/"));
  SHOW(unlink("file"));
  SHOW(unlink("file"));
  SHOW(unlinkat(AT_FDCWD, "folder", 0x4000));
  SHOW(unlinkat(AT_FDCWD, "folder", AT_REMOVEDIR));
}

BEHAVIOUR(hard_links) {
  close(make_file("file", "text"));
  SHOW(link("file", "other"));
  struct stat one;
  struct stat two;
  MUST(stat("file", &one));
  MUST(stat("other", &two));
  FACT(one.st_ino == two.st_ino);
  say("links %ld", (long)one.st_nlink);
  SHOW(unlink("file"));
  MUST(stat("other", &two));
  say("links %ld", (long)two.st_nlink);
  say_file("other");
  MUST(mkdir("folder", 0700));
  SHOW(link("folder", "folder2"));
  SHOW(link("other", "folder"));
  SHOW(link("missing", "x"));
}

// link does not follow a symbolic link, AT_SYMLINK_FOLLOW does.
BEHAVIOUR(link_to_link) {
  close(make_file("file", "text"));
  MUST(symlink("file", "link"));
  SHOW(link("link", "plain"));
  SHOW(linkat(AT_FDCWD, "link", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
  struct stat status;
  MUST(lstat("plain", &status));
  FACT(S_ISLNK(status.st_mode));
  MUST(lstat("followed", &status));
  FACT(S_ISREG(status.st_mode));
}

BEHAVIOUR(symbolic_links) {
  char target[64];
  SHOW(symlink("any text", "link"));
  SHOW(readlink("link", target, sizeof(target)));
  say_bytes("target", target, 8);
  SHOW(readlink("link", target, 3));
  SHOW(readlink("link", target, 0));
  SHOW(symlink("x", "link"));
  SHOW(symlink("", "empty"));
  SHOW(symlink("x", ""));
  SHOW(readlink(".", target, sizeof(target)));
  SHOW(readlink("missing", target, sizeof(target)));
  say_stat("link");
}

BEHAVIOUR(link_length) {
  static char text[PATH_MAX + 1];
  memset(text, 'a', PATH_MAX);
  SHOW(symlink(text, "long"));
  text[PATH_MAX - 1] = 0;
  SHOW(symlink(text, "longest"));
  SHOW(open("longest", O_RDONLY));
}

BEHAVIOUR(links_in_paths) {
  MUST(mkdir("folder", 0700));
  close(make_file("folder/file", "found"));
  MUST(symlink("folder", "link"));
  MUST(symlink("../folder/./file", "folder/up"));
  say_file("link/file");
  say_file("link/up");
  MUST(symlink("loop2", "loop1"));
  MUST(symlink("loop1", "loop2"));
  say_file("loop1");
  SHOW(chdir("link"));
  say_file("../folder/file");
}

BEHAVIOUR(rename_files) {
  close(make_file("one", "1"));
  close(make_file("two", "2"));
  SHOW(rename("one", "three"));
  SHOW(rename("three", "two"));
  say_file("one");
  say_file("two");
  SHOW(rename("two", "two"));
  SHOW(rename("missing", "x"));
  SHOW(rename("two", "missing/x"));
  SHOW(rename("two", ""));
}

// Two names of one file: rename does nothing.
BEHAVIOUR(rename_hard_links) {
  close(make_file("one", "1"));
  MUST(link("one", "two"));
  SHOW(rename("one", "two"));
  say_stat("one");
  say_stat("two");
}

BEHAVIOUR(rename_directories) {
  MUST(mkdir("a", 0700));
  MUST(mkdir("a/b", 0700));
  MUST(mkdir("empty", 0700));
  close(make_file("file", ""));
  SHOW(rename("a", "a/b/c"));
  SHOW(rename("a", "file"));
  SHOW(rename("file", "a"));
  SHOW(rename("empty", "a"));
  SHOW(rename("a", "empty"));
  SHOW(access("empty/b", F_OK));
  SHOW(rename("empty/.", "x"));
  SHOW(rename("empty", "new/"));
  SHOW(rename("file", "file2/"));
}

BEHAVIOUR(rename_flags) {
  close(make_file("one", "1"));
  close(make_file("two", "2"));
  SHOW(renameat2(AT_FDCWD, "one", AT_FDCWD, "two", RENAME_NOREPLACE));
  SHOW(renameat2(AT_FDCWD, "one", AT_FDCWD, "two", RENAME_EXCHANGE));
  say_file("one");
  say_file("two");
  SHOW(renameat2(AT_FDCWD, "one", AT_FDCWD, "missing", RENAME_EXCHANGE));
  SHOW(renameat2(AT_FDCWD, "one", AT_FDCWD, "new", RENAME_NOREPLACE));
  SHOW(renameat2(AT_FDCWD, "new", AT_FDCWD, "x", RENAME_NOREPLACE | RENAME_EXCHANGE));
  SHOW(renameat2(AT_FDCWD, "new", AT_FDCWD, "x", 0x100));
}

// A moved directory takes its contents and its open descriptors along.
BEHAVIOUR(moved_directory) {
  MUST(mkdir("a", 0700));
  MUST(mkdir("target", 0700));
  close(make_file("a/file", "inside"));
  const int folder = (int)MUST(open("a", O_RDONLY));
  SHOW(rename("a", "target/b"));
  say_file("target/b/file");
  DOES(openat(folder, "file", O_RDONLY));
  DOES(openat(folder, "../b/file", O_RDONLY));
  struct stat status;
  MUST(stat("target", &status));
  say("links %ld", (long)status.st_nlink);
}

BEHAVIOUR(link_counts_of_directories) {
  struct stat status;
  MUST(mkdir("a", 0700));
  MUST(mkdir("a/b", 0700));
  MUST(mkdir("a/c", 0700));
  close(make_file("a/file", ""));
  MUST(stat("a", &status));
  say("%ld", (long)status.st_nlink);
  MUST(rmdir("a/b"));
  MUST(stat("a", &status));
  say("%ld", (long)status.st_nlink);
}

BEHAVIOUR(long_names) {
  static char name[257];
  memset(name, 'n', 256);
  SHOW(mkdir(name, 0700));
  name[255] = 0;
  SHOW(mkdir(name, 0700));
  static char path[PATH_MAX + 10];
  for (int i = 0; i < PATH_MAX + 8; i += 2) {
    memcpy(path + i, "./", 2);
  }
  SHOW(access(path, F_OK));
  path[PATH_MAX - 1] = 0;
  SHOW(access(path, F_OK));
}

BEHAVIOUR(special_nodes) {
  SHOW(mknod("fifo", S_IFIFO | 0600, 0));
  SHOW(mknod("regular", S_IFREG | 0640, 0));
  SHOW(mknod("socket", S_IFSOCK | 0600, 0));
  SHOW(mknod("folder", S_IFDIR | 0700, 0));
  SHOW(mknod("fifo", S_IFIFO | 0600, 0));
  say_stat("fifo");
  say_stat("regular");
  say_stat("socket");
  SHOW(open("socket", O_RDWR));
}

BEHAVIOUR(dots_and_slashes) {
  MUST(mkdir("a", 0700));
  close(make_file("a/file", "found"));
  say_file("a//file");
  say_file("./a/./file");
  say_file("a/../a/file");
  say_file("a/file/.");
  say_file("a/missing/../file");
  SHOW(access("/../../..", F_OK));
  SHOW(access("a/", F_OK));
  SHOW(access("a/.", F_OK));
}
