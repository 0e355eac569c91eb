// Reading directories and moving in them: getdents64(2), readdir(3), chdir(2), getcwd(2).
#include <dirent.h>

#include "contract.h"

static int by_name(const void* left, const void* right) {
  return strcmp(*(char* const*)left, *(char* const*)right);
}

static void list(const char* path) {
  char* names[600];
  size_t count = 0;
  DIR* folder = opendir(path);
  if (folder == NULL) {
    say("%s: %s", path, error_name(errno));
    return;
  }
  for (struct dirent* entry; (entry = readdir(folder)) != NULL && count < 600;) {
    char text[300];
    snprintf(text, sizeof(text), "%s %d", entry->d_name, entry->d_type);
    names[count++] = strdup(text);
  }
  closedir(folder);
  qsort(names, count, sizeof(names[0]), by_name);
  for (size_t i = 0; i < count && count < 20; ++i) {
    say("%s", names[i]);
  }
  say("%zu entries", count);
}

BEHAVIOUR(entries_and_types) {
  close(make_file("file", ""));
  MUST(mkdir("folder", 0700));
  MUST(symlink("file", "link"));
  MUST(mkfifo("fifo", 0600));
  close(make_file(".hidden", ""));
  list(".");
}

BEHAVIOUR(errors) {
  close(make_file("file", ""));
  list("missing");
  list("file");
  char buffer[8];
  const int folder = (int)MUST(open(".", O_RDONLY));
  SHOW(syscall(SYS_getdents64, folder, buffer, 8));
  SHOW(syscall(SYS_getdents64, (int)MUST(open("file", O_RDONLY)), buffer, 8));
  SHOW(syscall(SYS_getdents64, 99, buffer, 8));
}

BEHAVIOUR(many_entries) {
  for (int i = 0; i < 500; ++i) {
    char name[32];
    snprintf(name, sizeof(name), "file-with-a-longer-name-%d", i);
    close(make_file(name, ""));
  }
  list(".");
  // Removing while reading loses no other entry.
  DIR* folder = opendir(".");
  int removed = 0;
  for (struct dirent* entry; (entry = readdir(folder)) != NULL;) {
    removed += entry->d_name[0] != '.' && unlink(entry->d_name) == 0;
  }
  closedir(folder);
  say("removed %d", removed);
  list(".");
}

BEHAVIOUR(rewind_sees_changes) {
  DIR* folder = opendir(".");
  int before = 0;
  while (readdir(folder) != NULL) {
    ++before;
  }
  close(make_file("new", ""));
  rewinddir(folder);
  int after = 0;
  while (readdir(folder) != NULL) {
    ++after;
  }
  say("%d %d", before, after);
}

BEHAVIOUR(tell_and_seek) {
  for (int i = 0; i < 10; ++i) {
    char name[8];
    snprintf(name, sizeof(name), "f%d", i);
    close(make_file(name, ""));
  }
  DIR* folder = opendir(".");
  for (int i = 0; i < 5; ++i) {
    readdir(folder);
  }
  const long place = telldir(folder);
  char name[256];
  snprintf(name, sizeof(name), "%s", readdir(folder)->d_name);
  while (readdir(folder) != NULL) {
  }
  seekdir(folder, place);
  FACT(strcmp(readdir(folder)->d_name, name) == 0);
}

// A directory's descriptor at its end gives 0, again and again; a removed one ENOENT.
BEHAVIOUR(end_and_removed) {
  MUST(mkdir("folder", 0700));
  const int folder = (int)MUST(open("folder", O_RDONLY));
  char buffer[1024];
  FACT(syscall(SYS_getdents64, folder, buffer, sizeof(buffer)) > 0);
  SHOW(syscall(SYS_getdents64, folder, buffer, sizeof(buffer)));
  SHOW(syscall(SYS_getdents64, folder, buffer, sizeof(buffer)));
  MUST(lseek(folder, 0, SEEK_SET));
  MUST(rmdir("folder"));
  SHOW(syscall(SYS_getdents64, folder, buffer, sizeof(buffer)));
}

BEHAVIOUR(inode_numbers_agree) {
  close(make_file("file", ""));
  DIR* folder = opendir(".");
  struct stat status;
  MUST(stat("file", &status));
  for (struct dirent* entry; (entry = readdir(folder)) != NULL;) {
    if (strcmp(entry->d_name, "file") == 0) {
      FACT(entry->d_ino == status.st_ino);
    }
  }
}

BEHAVIOUR(change_directory) {
  MUST(mkdir("a", 0700));
  close(make_file("file", ""));
  SHOW(chdir("missing"));
  SHOW(chdir("file"));
  SHOW(chdir(""));
  const int here = (int)MUST(open(".", O_RDONLY));
  SHOW(chdir("a"));
  char path[4096];
  say("%s", strrchr(getcwd(path, sizeof(path)), '/'));
  SHOW(fchdir(here));
  SHOW(access("a", F_OK));
  SHOW(fchdir((int)MUST(open("file", O_RDONLY))));
  SHOW(fchdir(99));
  SHOW(chdir("/"));
  say("%s", getcwd(path, sizeof(path)));
}

BEHAVIOUR(current_directory) {
  char path[4096];
  MUST(chdir("/dev"));
  SHOW(syscall(SYS_getcwd, path, 5));
  SHOW(syscall(SYS_getcwd, path, 4));
  SHOW(syscall(SYS_getcwd, path, 0));
  SHOW(getcwd(path, 0) == NULL ? -1 : 0);
}

// The name of a directory that moves is its new one.
BEHAVIOUR(moved_current_directory) {
  MUST(mkdir("a", 0700));
  MUST(mkdir("a/inner", 0700));
  MUST(chdir("a/inner"));
  MUST(rename("../../a", "../../b"));
  char path[4096];
  FACT(getcwd(path, sizeof(path)) != NULL);
  say("%s", strstr(path, "/b"));
}

BEHAVIOUR(change_root) {
  MUST(mkdir("jail", 0755));
  MUST(mkdir("jail/inner", 0755));
  const pid_t child = start_child();
  if (child == 0) {
    SHOW(chroot("jail"));
    SHOW(chdir("/"));
    SHOW(access("/inner", F_OK));
    SHOW(access("/../../inner", F_OK));
    SHOW(access("/dev", F_OK));
    _exit(0);
  }
  say_end("child", child);
  SHOW(access("/dev", F_OK));
  SHOW(chroot("missing"));
}
