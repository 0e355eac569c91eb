// mount(2), umount2(2): file systems in memory over a directory of one's own.
#include <sys/mount.h>
#include <sys/statfs.h>

#include "contract.h"

#define BAD ((void*)8)

BEHAVIOUR(memory_over_directory) {
  MUST(mkdir("place", 0755));
  close(make_file("place/below", "covered"));
  SHOW(mount("source", "place", "tmpfs", 0, "mode=711"));
  say_stat("place");
  SHOW(access("place/below", F_OK));
  close(make_file("place/file", "inside"));
  say_file("place/file");
  struct stat outside;
  struct stat inside;
  MUST(stat(".", &outside));
  MUST(stat("place", &inside));
  FACT(outside.st_dev != inside.st_dev);
  MUST(stat("place/..", &inside));
  FACT(outside.st_ino == inside.st_ino && outside.st_dev == inside.st_dev);
  SHOW(rmdir("place"));
  SHOW(rename("place", "other"));
  SHOW(rename("place/file", "file"));
  SHOW(link("place/file", "file"));
  MUST(chdir("place"));
  char text[4096];
  FACT(getcwd(text, sizeof(text)) != NULL && strcmp(strrchr(text, '/'), "/place") == 0);
  SHOW(umount("../place"));
  MUST(chdir(".."));
  SHOW(umount("place"));
  say_file("place/below");
  SHOW(umount("place"));
}

BEHAVIOUR(read_only) {
  MUST(mkdir("place", 0755));
  SHOW(mount("none", "place", "tmpfs", 0, NULL));
  close(make_file("place/file", "x"));
  MUST(mkdir("place/folder", 0755));
  const int writer = (int)MUST(open("place/file", O_WRONLY));
  SHOW(mount("none", "place", "tmpfs", MS_REMOUNT | MS_RDONLY, NULL));
  MUST(close(writer));
  SHOW(mount("none", "place", "tmpfs", MS_REMOUNT | MS_RDONLY, NULL));
  SHOW(open("place/file", O_RDWR));
  SHOW(open("place/file", O_RDONLY | O_TRUNC));
  SHOW(open("place/new", O_CREAT | O_WRONLY, 0600));
  SHOW(close(open("place/file", O_CREAT | O_RDONLY, 0600)));
  SHOW(mkdir("place/new", 0700));
  SHOW(mkdir("place/folder", 0700));
  SHOW(rmdir("place/folder"));
  SHOW(unlink("place/file"));
  SHOW(unlink("place/missing"));
  SHOW(rename("place/file", "place/other"));
  SHOW(link("place/file", "place/other"));
  SHOW(symlink("x", "place/other"));
  SHOW(mknod("place/other", S_IFIFO | 0600, 0));
  SHOW(chmod("place/file", 0600));
  SHOW(chown("place/file", 1, 1));
  SHOW(truncate("place/file", 0));
  SHOW(utimensat(AT_FDCWD, "place/file", NULL, 0));
  SHOW(access("place/file", W_OK));
  SHOW(access("place/file", R_OK));
  struct statfs status;
  MUST(statfs("place", &status));
  FACT((status.f_flags & 1) != 0);
  const int kept = (int)MUST(open("place/file", O_RDONLY));
  SHOW(umount("place"));
  MUST(close(kept));
  SHOW(umount2("place", MNT_EXPIRE));
  SHOW(umount2("place", MNT_EXPIRE));
  SHOW(umount2("place", MNT_EXPIRE));
}

BEHAVIOUR(detached) {
  MUST(mkdir("place", 0755));
  SHOW(mount("none", "place", "tmpfs", 0, NULL));
  const int file = make_file("place/file", "kept");
  SHOW(umount2("place", MNT_DETACH));
  SHOW(access("place/file", F_OK));
  char text[5] = "";
  SHOW(pread(file, text, 4, 0));
  say("%s", text);
  SHOW(write(file, "more", 4));
}

BEHAVIOUR(stacked) {
  MUST(mkdir("place", 0755));
  SHOW(mount("none", "place", "tmpfs", 0, NULL));
  MUST(mkdir("place/inner", 0755));
  SHOW(mount("none", "place/inner", "tmpfs", 0, NULL));
  close(make_file("place/inner/file", "x"));
  SHOW(umount("place"));
  SHOW(mount("none", "place/inner", "tmpfs", 0, NULL));
  SHOW(access("place/inner/file", F_OK));
  SHOW(umount("place/inner"));
  SHOW(access("place/inner/file", F_OK));
  SHOW(umount("place/inner"));
  SHOW(umount("place"));
}

BEHAVIOUR(mount_errors) {
  MUST(mkdir("place", 0755));
  close(make_file("file", ""));
  SHOW(mount("none", "place", "unknown-type", 0, NULL));
  SHOW(mount("none", "place", NULL, 0, NULL));
  SHOW(mount("none", "missing", "tmpfs", 0, NULL));
  SHOW(mount("none", "file", "tmpfs", 0, NULL));
  SHOW(mount("none", "file/x", "tmpfs", 0, NULL));
  SHOW(mount("none", "", "tmpfs", 0, NULL));
  SHOW(mount("none", "place", BAD, 0, NULL));
  SHOW(mount(BAD, "place", "tmpfs", 0, NULL));
  SHOW(mount("none", BAD, "tmpfs", 0, NULL));
  SHOW(mount("none", "place", "tmpfs", 0, "unknown=option"));
  SHOW(mount("none", "place", "tmpfs", 0, "mode=9"));
  SHOW(mount("none", "place", "tmpfs", MS_REMOUNT, NULL));
  SHOW(umount("place"));
  SHOW(umount("missing"));
  SHOW(umount("file"));
  SHOW(umount(BAD));
  SHOW(umount(""));
  SHOW(umount2("place", 0x100));
  SHOW(umount2("place", MNT_EXPIRE | MNT_FORCE));
}

BEHAVIOUR(of_users) {
  MUST(mkdir("place", 0777));
  const pid_t child = start_child();
  if (child == 0) {
    become_user();
    SHOW(mount("none", "place", "tmpfs", 0, NULL));
    SHOW(mount("none", "place", "unknown-type", 0, NULL));
    SHOW(mount("none", "missing", "tmpfs", 0, NULL));
    SHOW(umount("place"));
    SHOW(umount("missing"));
    SHOW(umount2("place", 0x100));
    _exit(0);
  }
  say_end("user", child);
}
