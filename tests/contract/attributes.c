#include <sys/xattr.h>

#include "contract.h"

// Prints the names in order, for a file system keeps them in its own.
static void say_names(const char* label, char* names, long size) {
  const char* found[16];
  int count = 0;
  for (long at = 0; at < size && count < 16; at += (long)strlen(names + at) + 1) {
    int place = count++;
    for (; place > 0 && strcmp(found[place - 1], names + at) > 0; --place) {
      found[place] = found[place - 1];
    }
    found[place] = names + at;
  }
  for (int i = 0; i < count; ++i) {
    say("%s: %s", label, found[i]);
  }
}

BEHAVIOUR(are_kept_and_listed) {
  const int file = make_file("file", "");
  char value[64] = "";
  char names[256] = "";
  SHOW(listxattr("file", names, sizeof(names)));
  SHOW(setxattr("file", "user.one", "value", 5, 0));
  SHOW(fsetxattr(file, "user.two", "", 0, 0));
  SHOW(getxattr("file", "user.one", value, sizeof(value)));
  say_bytes("one", value, 5);
  SHOW(fgetxattr(file, "user.two", value, sizeof(value)));
  SHOW(fgetxattr(file, "user.three", value, sizeof(value)));
  SHOW(setxattr("file", "user.one", "longer than before", 18, 0));
  SHOW(getxattr("file", "user.one", value, sizeof(value)));
  say_bytes("one", value, 18);
  const long size = SHOW(listxattr("file", names, sizeof(names)));
  say_names("name", names, size);
  SHOW(removexattr("file", "user.one"));
  SHOW(removexattr("file", "user.one"));
  SHOW(getxattr("file", "user.one", value, sizeof(value)));
  SHOW(flistxattr(file, names, sizeof(names)));
}

BEHAVIOUR(flags_ask_for_new_or_old) {
  make_file("file", "");
  SHOW(setxattr("file", "user.name", "a", 1, XATTR_REPLACE));
  SHOW(setxattr("file", "user.name", "a", 1, XATTR_CREATE));
  SHOW(setxattr("file", "user.name", "b", 1, XATTR_CREATE));
  SHOW(setxattr("file", "user.name", "c", 1, XATTR_REPLACE));
  char value[4] = "";
  SHOW(getxattr("file", "user.name", value, sizeof(value)));
  say_bytes("value", value, 1);
}

BEHAVIOUR(sizes_and_wild_pointers) {
  make_file("file", "");
  char value[16] = "";
  static char large[70000];
  SHOW(setxattr("file", "user.name", "0123456789", 10, 0));
  SHOW(getxattr("file", "user.name", NULL, 0));
  SHOW(getxattr("file", "user.name", value, 9));
  SHOW(getxattr("file", "user.name", value, 10));
  SHOW(getxattr("file", "user.name", (void*)1, 10));
  SHOW(listxattr("file", NULL, 0));
  SHOW(listxattr("file", value, 3));
  SHOW(listxattr("file", (void*)1, 100));
  SHOW(setxattr("file", "user.name", (void*)1, 10, 0));
  SHOW(setxattr("file", "user.name", large, sizeof(large), 0));
  SHOW(setxattr("file", "user.", "x", 1, 0));
  SHOW(setxattr("file", "user", "x", 1, 0));
  SHOW(getxattr("file", "user.", value, 9));
  static char name[300] = "user.";
  memset(name + 5, 'n', 250);
  SHOW(setxattr("file", name, "x", 1, 0));
  name[255] = 'n';
  SHOW(setxattr("file", name, "x", 1, 0));
}

BEHAVIOUR(other_kinds_of_files) {
  MUST(mkdir("directory", 0755));
  MUST(symlink("file", "link"));
  MUST(mkfifo("fifo", 0644));
  make_file("file", "");
  char value[8] = "";
  SHOW(setxattr("directory", "user.name", "d", 1, 0));
  SHOW(getxattr("directory", "user.name", value, sizeof(value)));
  SHOW(setxattr("link", "user.name", "f", 1, 0));
  SHOW(getxattr("file", "user.name", value, sizeof(value)));
  SHOW(lsetxattr("link", "user.name", "l", 1, 0));
  SHOW(lgetxattr("link", "user.name", value, sizeof(value)));
  SHOW(lsetxattr("link", "trusted.name", "l", 1, 0));
  SHOW(lgetxattr("link", "trusted.name", value, sizeof(value)));
  SHOW(setxattr("fifo", "user.name", "p", 1, 0));
  SHOW(getxattr("fifo", "user.name", value, sizeof(value)));
  SHOW(setxattr("fifo", "trusted.name", "p", 1, 0));
  SHOW(getxattr("fifo", "trusted.name", value, sizeof(value)));
}

BEHAVIOUR(rights_of_the_file_count) {
  make_file("file", "");
  MUST(chmod("file", 0644));
  MUST(setxattr("file", "user.name", "v", 1, 0));
  MUST(setxattr("file", "trusted.name", "t", 1, 0));
  make_file("secret", "");
  MUST(setxattr("secret", "user.name", "v", 1, 0));
  MUST(chmod("secret", 0600));
  MUST(chmod(".", 0755));
  const pid_t child = start_child();
  if (child == 0) {
    MUST(setgid(1000));
    MUST(setuid(1000));
    char value[64] = "";
    SHOW(getxattr("file", "user.name", value, sizeof(value)));
    SHOW(setxattr("file", "user.name", "w", 1, 0));
    SHOW(removexattr("file", "user.name"));
    SHOW(getxattr("file", "trusted.name", value, sizeof(value)));
    SHOW(setxattr("file", "trusted.name", "w", 1, 0));
    SHOW(removexattr("file", "trusted.name"));
    const long size = SHOW(listxattr("file", value, sizeof(value)));
    say_names("seen", value, size);
    SHOW(getxattr("secret", "user.name", value, sizeof(value)));
    SHOW(listxattr("secret", value, sizeof(value)));
    SHOW(setxattr("file", "security.name", "w", 1, 0));
    _exit(0);
  }
  say_end("child", child);
}

BEHAVIOUR(go_with_the_inode) {
  const int file = make_file("file", "");
  MUST(setxattr("file", "user.name", "v", 1, 0));
  MUST(link("file", "again"));
  MUST(rename("file", "moved"));
  char value[8] = "";
  SHOW(getxattr("again", "user.name", value, sizeof(value)));
  SHOW(getxattr("moved", "user.name", value, sizeof(value)));
  MUST(unlink("again"));
  MUST(unlink("moved"));
  SHOW(fgetxattr(file, "user.name", value, sizeof(value)));
  SHOW(fsetxattr(file, "user.other", "w", 1, 0));
  SHOW(flistxattr(file, NULL, 0));
  make_file("file", "");
  SHOW(getxattr("file", "user.name", value, sizeof(value)));
}
