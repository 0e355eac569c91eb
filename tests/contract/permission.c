// What an ordinary user may do, and root: access(2), credentials(7), umask(2).
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "contract.h"

// Runs the block as user 1000 in a child.
#define AS_USER(...)                  \
  do {                                \
    const pid_t user = start_child(); \
    if (user == 0) {                  \
      become_user();                  \
      __VA_ARGS__;                    \
      _exit(0);                       \
    }                                 \
    say_end("user", user);            \
  } while (0)

BEHAVIOUR(root_ignores_modes) {
  close(make_file("file", "text"));
  MUST(chmod("file", 0));
  DOES(open("file", O_RDWR));
  SHOW(access("file", R_OK | W_OK));
  SHOW(access("file", X_OK));
  MUST(chmod("file", 0100));
  SHOW(access("file", X_OK));
  MUST(mkdir("folder", 0));
  SHOW(access("folder", R_OK | W_OK | X_OK));
}

BEHAVIOUR(user_reads_and_writes) {
  close(make_file("file", "text"));
  static const mode_t kModes[] = {0600, 0604, 0602, 0660, 0666, 0707};
  for (size_t i = 0; i < 6; ++i) {
    MUST(chmod("file", kModes[i]));
    say("mode %o", kModes[i]);
    AS_USER({
      SHOW(open("file", O_RDONLY) >= 0);
      SHOW(open("file", O_WRONLY) >= 0);
      SHOW(access("file", X_OK));
    });
  }
}

// The owner's bits count for the owner, even where others may more.
BEHAVIOUR(owner_before_others) {
  close(make_file("file", "text"));
  MUST(chown("file", 1000, 0));
  MUST(chmod("file", 0077));
  AS_USER(SHOW(open("file", O_RDONLY)));
  MUST(chown("file", 0, 1000));
  MUST(chmod("file", 0707));
  AS_USER(SHOW(open("file", O_RDONLY)));
}

BEHAVIOUR(directories) {
  MUST(mkdir("folder", 0711));
  close(make_file("folder/file", "text"));
  AS_USER({
    DOES(open("folder/file", O_RDONLY));
    SHOW(open("folder", O_RDONLY));
    SHOW(open("folder/new", O_CREAT | O_RDWR, 0600));
    SHOW(unlink("folder/file"));
    SHOW(mkdir("folder/inner", 0700));
    SHOW(rename("folder/file", "folder/other"));
  });
  MUST(chmod("folder", 0744));
  AS_USER({
    DOES(open("folder", O_RDONLY));
    SHOW(open("folder/file", O_RDONLY));
    SHOW(chdir("folder"));
  });
}

// In a sticky directory only the owner of a file removes it.
BEHAVIOUR(sticky_directory) {
  MUST(mkdir("folder", 0777));
  MUST(chmod("folder", 01777));
  close(make_file("folder/roots", ""));
  AS_USER({
    SHOW(unlink("folder/roots"));
    SHOW(rename("folder/roots", "folder/x"));
    DOES(open("folder/mine", O_CREAT | O_RDWR, 0600));
    SHOW(unlink("folder/mine"));
  });
}

BEHAVIOUR(user_changes_metadata) {
  close(make_file("file", ""));
  MUST(chmod("file", 0666));
  AS_USER({
    SHOW(chmod("file", 0600));
    SHOW(chown("file", 1000, 1000));
    SHOW(utimensat(AT_FDCWD, "file", NULL, 0));
    const struct timespec times[] = {{1, 0}, {1, 0}};
    SHOW(utimensat(AT_FDCWD, "file", times, 0));
    SHOW(truncate("file", 3));
  });
}

BEHAVIOUR(user_cannot) {
  MUST(mkdir("folder", 0777));
  MUST(chmod("folder", 0777));
  AS_USER({
    SHOW(setuid(0));
    SHOW(setgid(0));
    SHOW(setgroups(0, NULL));
    SHOW(chroot("."));
    SHOW(mknod("folder/device", S_IFCHR | 0600, 0x103));
    SHOW(sethostname("x", 1));
    SHOW(setpriority(0, 0, -5));
  });
}

BEHAVIOUR(changing_users) {
  const pid_t child = start_child();
  if (child == 0) {
    SHOW(setresuid(0, 1000, 0));
    uid_t real;
    uid_t effective;
    uid_t saved;
    MUST(getresuid(&real, &effective, &saved));
    say("%d %d %d", real, effective, saved);
    SHOW(seteuid(0));
    SHOW(setreuid(1000, 1000));
    MUST(getresuid(&real, &effective, &saved));
    say("%d %d %d", real, effective, saved);
    SHOW(seteuid(0));
    SHOW(setresuid(1000, 1000, 1000));
    SHOW(setuid(1001));
    _exit(0);
  }
  say_end("child", child);
}

BEHAVIOUR(groups) {
  const gid_t some[] = {5, 6, 7};
  SHOW(setgroups(3, some));
  gid_t now[8];
  SHOW(getgroups(8, now));
  say("%d %d %d", now[0], now[1], now[2]);
  SHOW(getgroups(0, NULL));
  SHOW(getgroups(1, now));
  close(make_file("file", ""));
  MUST(chown("file", 0, 6));
  MUST(chmod("file", 0060));
  MUST(setresgid(1000, 1000, 1000));
  MUST(setresuid(1000, 1000, 1000));
  DOES(open("file", O_RDWR));
}

BEHAVIOUR(mask) {
  SHOW(umask(0777));
  SHOW(umask(02));
  SHOW(umask(07));
  close((int)MUST(open("file", O_CREAT | O_RDWR, 0777)));
  say_stat("file");
}

// access asks for the real user, faccessat with AT_EACCESS for the effective one.
BEHAVIOUR(real_or_effective) {
  close(make_file("file", ""));
  MUST(chmod("file", 0600));
  const pid_t child = start_child();
  if (child == 0) {
    MUST(setresuid(1000, 0, 0));
    SHOW(access("file", R_OK));
    SHOW(syscall(SYS_faccessat2, AT_FDCWD, "file", R_OK, AT_EACCESS));
    SHOW(access("file", 8));
    _exit(0);
  }
  say_end("child", child);
}

// A set-user-ID program runs as its owner.
BEHAVIOUR(set_user_id_program) {
  const int from = (int)MUST(open("/bin/busybox", O_RDONLY));
  const int to = (int)MUST(open("busybox", O_CREAT | O_WRONLY, 0755));
  static char block[65536];
  for (ssize_t size; (size = read(from, block, sizeof(block))) > 0;) {
    MUST(write(to, block, (size_t)size));
  }
  close(to);
  MUST(chown("busybox", 0, 1234));
  MUST(chmod("busybox", 02755));
  const pid_t child = start_child();
  if (child == 0) {
    MUST(setgroups(0, NULL));
    MUST(setresgid(1000, 1000, 1000));
    execl("./busybox", "busybox", "id", "-g", (char*)NULL);
    _exit(98);
  }
  say_end("program", child);
}

BEHAVIOUR(execute_bits) {
  close(make_file("file", "#!/bin/busybox true\n"));
  MUST(chmod("file", 0666));
  AS_USER(SHOW(execl("./file", "x", (char*)NULL)));
  MUST(chmod("file", 0755));
  AS_USER(SHOW(execl("./file", "x", (char*)NULL)));
}

// Signals reach the processes of the same user, and all of them if root sends.
BEHAVIOUR(signals_to_others) {
  const pid_t parent = getpid();
  AS_USER({
    SHOW(kill(parent, 0));
    SHOW(kill(parent, SIGTERM));
    SHOW(syscall(SYS_tgkill, parent, parent, SIGTERM));
    SHOW(kill(getpid(), 0));
    const pid_t child = start_child();
    if (child == 0) {
      pause();
      _exit(0);
    }
    SHOW(kill(child, SIGTERM));
    say_end("child", child);
  });
}

// Who may not keep them takes S_ISUID and S_ISGID away by writing.
BEHAVIOUR(set_id_bits_go) {
  static const char* const kNames[] = {"written", "cut", "owned"};
  for (size_t i = 0; i < 3; ++i) {
    close(make_file(kNames[i], "text"));
    MUST(chown(kNames[i], 1000, 1000));
    MUST(chmod(kNames[i], 06777));
  }
  AS_USER({
    const int file = (int)MUST(open("written", O_WRONLY));
    SHOW(write(file, "x", 1));
    SHOW(truncate("cut", 1));
    SHOW(chown("owned", 1000, 1000));
  });
  for (size_t i = 0; i < 3; ++i) {
    say_stat(kNames[i]);
  }
}

BEHAVIOUR(file_users) {
  const pid_t child = start_child();
  if (child == 0) {
    close(make_file("file", ""));
    MUST(chmod("file", 0600));
    SHOW(syscall(SYS_setfsgid, 1000));
    SHOW(syscall(SYS_setfsuid, 1000));
    SHOW(open("file", O_RDONLY));
    SHOW(access("file", R_OK));
    SHOW(syscall(SYS_setfsuid, -1));
    SHOW(syscall(SYS_setfsuid, 0));
    DOES(open("file", O_RDONLY));
    _exit(0);
  }
  say_end("child", child);
}

BEHAVIOUR(dropped_capabilities) {
  const pid_t child = start_child();
  if (child == 0) {
    struct {
      uint32_t version;
      int process;
    } header = {0x20080522, 0};
    uint32_t data[6] = {0};
    close(make_file("file", ""));
    MUST(chmod("file", 0));
    SHOW(syscall(SYS_capset, &header, data));
    SHOW(open("file", O_RDONLY));
    SHOW(setuid(1000));
    SHOW(chown("file", 5, 5));
    SHOW(sethostname("x", 1));
    data[0] = data[1] = 1;
    SHOW(syscall(SYS_capset, &header, data));
    header.process = 1;
    SHOW(syscall(SYS_capset, &header, data));
    _exit(0);
  }
  say_end("child", child);
}

BEHAVIOUR(kept_capabilities) {
  const pid_t child = start_child();
  if (child == 0) {
    SHOW(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0));
    SHOW(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
    SHOW(prctl(PR_SET_KEEPCAPS, 2, 0, 0, 0));
    MUST(setresuid(1000, 1000, 1000));
    struct {
      uint32_t version;
      int process;
    } header = {0x20080522, 0};
    uint32_t data[6] = {0};
    MUST(syscall(SYS_capget, &header, data));
    FACT(data[0] == 0 && (data[1] & 1) == 1);
    SHOW(prctl(PR_CAPBSET_READ, 99, 0, 0, 0));
    SHOW(prctl(PR_CAPBSET_READ, 0, 0, 0, 0));
    _exit(0);
  }
  say_end("child", child);
}

// Only who has the right to may say that another sends.
BEHAVIOUR(forged_sender) {
  AS_USER({
    int pair[2];
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    static const struct ucred kSenders[] = {{0, 1000, 1000}, {0, 0, 1000}, {1, 1000, 1000}};
    for (size_t i = 0; i < 3; ++i) {
      char control[CMSG_SPACE(sizeof(struct ucred))] = {0};
      struct iovec part = {(void*)"x", 1};
      struct msghdr message = {.msg_iov = &part,
                               .msg_iovlen = 1,
                               .msg_control = control,
                               .msg_controllen = sizeof(control)};
      struct cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_CREDENTIALS;
      header->cmsg_len = CMSG_LEN(sizeof(struct ucred));
      struct ucred sender = kSenders[i];
      sender.pid = sender.pid == 0 ? getpid() : sender.pid;
      memcpy(CMSG_DATA(header), &sender, sizeof(sender));
      SHOW(sendmsg(pair[0], &message, 0));
    }
  });
}

static void try_to_look(pid_t process, const char* name) {
  char path[64];
  char target[256];
  snprintf(path, sizeof(path), "/proc/%d/%s", (int)process, name);
  const int file = open(path, O_RDONLY);
  say("open %s: %s", name, file < 0 ? error_name(errno) : "ok");
  close(file);
  if (readlink(path, target, sizeof(target)) < 0) {
    say("read %s: %s", name, error_name(errno));
  } else {
    say("read %s: ok", name);
  }
}

// What a process has open and mapped is for its own user.
BEHAVIOUR(looks_into_processes) {
  static const char* const kNames[] = {"exe",  "cwd",   "root",    "fd",   "fd/0",    "fdinfo/0",
                                       "maps", "smaps", "environ", "auxv", "cmdline", "status"};
  const pid_t root = getpid();
  // Everybody may open it again.
  MUST(dup2((int)MUST(open("/dev/null", O_RDWR)), 0));
  AS_USER({
    for (size_t i = 0; i < sizeof(kNames) / sizeof(kNames[0]); ++i) {
      try_to_look(root, kNames[i]);
    }
  });
  AS_USER({
    prctl(PR_SET_DUMPABLE, 1);
    const pid_t own = getpid();
    for (size_t i = 0; i < sizeof(kNames) / sizeof(kNames[0]); ++i) {
      try_to_look(own, kNames[i]);
    }
    const pid_t child = start_child();
    if (child == 0) {
      for (size_t i = 0; i < sizeof(kNames) / sizeof(kNames[0]); ++i) {
        try_to_look(own, kNames[i]);
      }
      _exit(0);
    }
    say_end("child", child);
  });
  try_to_look(getpid(), "fd");
  struct stat status;
  const pid_t user = start_child();
  if (user == 0) {
    become_user();
    prctl(PR_SET_DUMPABLE, 1);
    pause();
  }
  wait_until_asleep(user);
  char path[64];
  snprintf(path, sizeof(path), "/proc/%d", (int)user);
  MUST(stat(path, &status));
  say("owner %d", (int)status.st_uid);
  kill(user, SIGKILL);
  say_end("user", user);
}
