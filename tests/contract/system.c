// Facts of the system and the process: uname(2), sysinfo(2), getrlimit(2), prctl(2), sched(7),
// getrandom(2), proc(5).
#include <dirent.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/xattr.h>

#include "contract.h"

BEHAVIOUR(name_of_system) {
  struct utsname name;
  SHOW(uname(&name));
  say("%s %s", name.sysname, name.machine);
  FACT(atoi(name.release) >= 5);
  FACT(strlen(name.nodename) > 0);
}

BEHAVIOUR(system_information) {
  struct sysinfo info;
  SHOW(sysinfo(&info));
  FACT(info.totalram > 0 && info.freeram <= info.totalram);
  FACT(info.procs > 0);
  FACT(info.uptime >= 0);
  say("unit %u", info.mem_unit);
  FACT(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
  FACT(sysconf(_SC_PHYS_PAGES) > 0);
  SHOW(sysconf(_SC_PAGESIZE));
  SHOW(sysconf(_SC_CLK_TCK));
}

BEHAVIOUR(limits) {
  struct rlimit limit = {100, 200};
  SHOW(setrlimit(RLIMIT_NOFILE, &limit));
  SHOW(getrlimit(RLIMIT_NOFILE, &limit));
  say("%ld %ld", (long)limit.rlim_cur, (long)limit.rlim_max);
  limit.rlim_cur = 300;
  SHOW(setrlimit(RLIMIT_NOFILE, &limit));
  SHOW(getrlimit(99, &limit));
  const pid_t child = start_child();
  if (child == 0) {
    MUST(getrlimit(RLIMIT_NOFILE, &limit));
    say("child %ld %ld", (long)limit.rlim_cur, (long)limit.rlim_max);
    become_user();
    limit = (struct rlimit){100, 201};
    SHOW(setrlimit(RLIMIT_NOFILE, &limit));
    _exit(0);
  }
  say_end("child", child);
}

BEHAVIOUR(limits_of_others) {
  const pid_t child = start_child();
  if (child == 0) {
    pause();
    _exit(0);
  }
  const struct rlimit limit = {50, 60};
  struct rlimit old;
  SHOW(prlimit(child, RLIMIT_NOFILE, &limit, NULL));
  SHOW(prlimit(child, RLIMIT_NOFILE, NULL, &old));
  say("%ld %ld", (long)old.rlim_cur, (long)old.rlim_max);
  SHOW(prlimit(1 << 29, RLIMIT_NOFILE, NULL, &old));
  kill(child, SIGKILL);
  wait_for(child);
}

// RLIMIT_CPU: SIGXCPU at the soft limit, SIGKILL at the hard one.
BEHAVIOUR(processor_limit) {
  const pid_t child = start_child();
  if (child == 0) {
    const struct rlimit limit = {1, 5};
    MUST(setrlimit(RLIMIT_CPU, &limit));
    for (;;) {
    }
  }
  say_end("child", child);
}

BEHAVIOUR(name_of_thread) {
  char name[16] = "";
  SHOW(prctl(PR_SET_NAME, "a name that is too long"));
  SHOW(prctl(PR_GET_NAME, name));
  say("%s", name);
  SHOW(prctl(9999, 0, 0, 0, 0));
}

BEHAVIOUR(death_signal) {
  int ends[2];
  MUST(pipe(ends));
  const pid_t child = start_child();
  if (child == 0) {
    if (start_child() == 0) {
      on_signal(SIGUSR1, count_signal, 0);
      SHOW(prctl(PR_SET_PDEATHSIG, SIGUSR1));
      int number = 0;
      SHOW(prctl(PR_GET_PDEATHSIG, &number));
      say("%s", signal_name(number));
      MUST(write(ends[1], "r", 1));
      while (signal_count == 0) {
        sleep_ms(2);
      }
      MUST(write(ends[1], "d", 1));
      _exit(0);
    }
    char byte;
    MUST(read(ends[0], &byte, 1));
    _exit(0);
  }
  say_end("parent", child);
  char byte;
  SHOW(read(ends[0], &byte, 1));
}

BEHAVIOUR(dumpable) {
  SHOW(prctl(PR_GET_DUMPABLE));
  SHOW(prctl(PR_SET_DUMPABLE, 0));
  SHOW(prctl(PR_GET_DUMPABLE));
  SHOW(prctl(PR_SET_DUMPABLE, 7));
  SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

BEHAVIOUR(scheduling) {
  SHOW(sched_getscheduler(0));
  struct sched_param parameter;
  SHOW(sched_getparam(0, &parameter));
  say("%d", parameter.sched_priority);
  SHOW(sched_get_priority_min(SCHED_FIFO));
  SHOW(sched_get_priority_max(SCHED_RR));
  SHOW(sched_get_priority_max(SCHED_OTHER));
  SHOW(sched_get_priority_max(99));
  parameter.sched_priority = 5;
  SHOW(sched_setscheduler(0, SCHED_OTHER, &parameter));
  parameter.sched_priority = 0;
  SHOW(sched_setscheduler(0, SCHED_BATCH, &parameter));
  SHOW(sched_getscheduler(0));
  SHOW(sched_getscheduler(1 << 29));
  SHOW(sched_yield());
}

BEHAVIOUR(affinity) {
  cpu_set_t set;
  SHOW(sched_getaffinity(0, sizeof(set), &set));
  FACT(CPU_COUNT(&set) >= 1);
  CPU_ZERO(&set);
  SHOW(sched_setaffinity(0, sizeof(set), &set));
  CPU_SET(0, &set);
  SHOW(sched_setaffinity(0, sizeof(set), &set));
  MUST(sched_getaffinity(0, sizeof(set), &set));
  say("%d", CPU_COUNT(&set));
  SHOW(sched_getcpu());
  SHOW(syscall(SYS_sched_getaffinity, 0, 3, &set));
  SHOW(sched_getaffinity(1 << 29, sizeof(set), &set));
}

BEHAVIOUR(niceness) {
  errno = 0;
  SHOW(getpriority(PRIO_PROCESS, 0));
  SHOW(nice(5));
  SHOW(getpriority(PRIO_PROCESS, 0));
  SHOW(setpriority(PRIO_PROCESS, 0, 100));
  SHOW(getpriority(PRIO_PROCESS, 0));
  SHOW(getpriority(99, 0));
}

BEHAVIOUR(random_bytes) {
  char one[64];
  char other[64];
  SHOW(getrandom(one, 64, 0));
  SHOW(getrandom(other, 64, GRND_NONBLOCK));
  FACT(memcmp(one, other, 64) != 0);
  SHOW(getrandom(one, 64, 0x100));
  SHOW(getentropy(one, 64));
  SHOW(getentropy(one, 257));
}

// /proc/self leads to the process that looks.
BEHAVIOUR(proc_self) {
  char text[64];
  char number[16];
  const ssize_t size = readlink("/proc/self", text, sizeof(text) - 1);
  text[size > 0 ? size : 0] = 0;
  snprintf(number, sizeof(number), "%d", (int)getpid());
  FACT(strcmp(text, number) == 0);
  const pid_t child = start_child();
  if (child == 0) {
    const ssize_t other = readlink("/proc/self", text, sizeof(text) - 1);
    text[other > 0 ? other : 0] = 0;
    FACT(strcmp(text, number) != 0);
    _exit(0);
  }
  say_end("child", child);
}

BEHAVIOUR(proc_descriptors) {
  const int file = make_file("file", "by link");
  char path[64];
  char target[4096] = "";
  snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
  FACT(readlink(path, target, sizeof(target) - 1) > 0);
  say("%s", strrchr(target, '/'));
  say_file("/proc/self/fd/3");
  MUST(unlink("file"));
  memset(target, 0, sizeof(target));
  MUST(readlink(path, target, sizeof(target) - 1));
  say("%s", strrchr(target, '/'));
  say_file("/proc/self/fd/3");
  SHOW(open("/proc/self/fd/99", O_RDONLY));
  int count = 0;
  DIR* folder = opendir("/proc/self/fd");
  while (folder != NULL && readdir(folder) != NULL) {
    ++count;
  }
  say("%d entries", count);
}

// One line of /proc/self/status, without its numbers' meaning.
static void say_line(const char* path, const char* key) {
  FILE* file = fopen(path, "r");
  char line[1024];
  while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
    if (strncmp(line, key, strlen(key)) == 0) {
      say_bytes(path, line, strlen(line));
    }
  }
  if (file != NULL) {
    fclose(file);
  }
}

BEHAVIOUR(proc_status) {
  MUST(prctl(PR_SET_NAME, "named"));
  say_line("/proc/self/status", "Name:");
  say_line("/proc/self/status", "State:");
  say_line("/proc/self/status", "Uid:");
  say_line("/proc/self/status", "Threads:");
  on_signal(SIGUSR1, SIG_IGN, 0);
  on_signal(SIGUSR2, count_signal, 0);
  say_line("/proc/self/status", "SigIgn:");
  say_line("/proc/self/status", "SigCgt:");
  say_file("/proc/self/comm");
}

BEHAVIOUR(proc_of_zombie) {
  const pid_t child = start_child();
  if (child == 0) {
    _exit(0);
  }
  siginfo_t info;
  MUST(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
  char path[64];
  snprintf(path, sizeof(path), "/proc/%d/stat", (int)child);
  const int file = (int)MUST(open(path, O_RDONLY));
  char text[512] = "";
  MUST(read(file, text, sizeof(text) - 1));
  say("state %c", strrchr(text, ')')[2]);
  wait_for(child);
  SHOW(open(path, O_RDONLY));
}

BEHAVIOUR(proc_links_of_process) {
  char path[4096];
  char target[4096] = "";
  FACT(readlink("/proc/self/cwd", target, sizeof(target) - 1) > 0);
  FACT(strcmp(target, getcwd(path, sizeof(path))) == 0);
  memset(target, 0, sizeof(target));
  FACT(readlink("/proc/self/root", target, sizeof(target) - 1) > 0);
  say("%s", target);
  FACT(readlink("/proc/self/exe", target, sizeof(target) - 1) > 0);
  SHOW(access("/proc/self/task", F_OK));
  SHOW(access("/proc/1", F_OK));
  SHOW(access("/proc/999999999", F_OK));
}

BEHAVIOUR(proc_maps) {
  FILE* maps = fopen("/proc/self/maps", "r");
  char line[1024];
  static int in_data;
  int lines = 0;
  bool stack = false;
  bool heap = false;
  bool data = false;
  free(malloc(100));
  while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
    unsigned long start = 0;
    unsigned long end = 0;
    char access[8] = "";
    ++lines;
    sscanf(line, "%lx-%lx %7s", &start, &end, access);
    stack |= strstr(line, "[stack]") != NULL;
    heap |= strstr(line, "[heap]") != NULL;
    data |= (unsigned long)&in_data >= start && (unsigned long)&in_data < end &&
            strcmp(access, "rw-p") == 0;
  }
  FACT(lines > 3);
  FACT(stack);
  FACT(heap);
  FACT(data);
}

BEHAVIOUR(host_name) {
  char name[65];
  SHOW(gethostname(name, sizeof(name)));
  FACT(strlen(name) > 0);
  SHOW(sethostname("x", (size_t)-1));
  SHOW(sethostname("x", 100));
}

// RLIMIT_FSIZE: what fits is written, and then SIGXFSZ and EFBIG.
BEHAVIOUR(file_size_limit) {
  const int file = make_file("file", "");
  on_signal(SIGXFSZ, count_signal, 0);
  const struct rlimit limit = {6, RLIM_INFINITY};
  MUST(setrlimit(RLIMIT_FSIZE, &limit));
  SHOW(write(file, "1234", 4));
  SHOW(write(file, "5678", 4));
  say("%d signals", (int)signal_count);
  SHOW(write(file, "9", 1));
  say("%d signals", (int)signal_count);
  SHOW(ftruncate(file, 3));
  SHOW(ftruncate(file, 7));
  say("%d signals", (int)signal_count);
  SHOW(pwrite(file, "abc", 3, 5));
  say_stat("file");
}

BEHAVIOUR(descriptor_limit) {
  const struct rlimit limit = {3000, 3000};
  MUST(setrlimit(RLIMIT_NOFILE, &limit));
  SHOW(dup2(0, 2999));
  SHOW(dup2(0, 3000));
  SHOW(fcntl(0, F_DUPFD, 2500));
  SHOW(fcntl(0, F_DUPFD, 2999));
  SHOW(fcntl(0, F_DUPFD, 3000));
  SHOW(close(2500));
  const struct rlimit less = {5, 3000};
  MUST(setrlimit(RLIMIT_NOFILE, &less));
  SHOW(dup(0));
  SHOW(dup(0));
  SHOW(dup(0));
  SHOW(close(2999));
}

BEHAVIOUR(process_limit) {
  const pid_t child = start_child();
  if (child == 0) {
    become_user();
    const struct rlimit limit = {1, 1};
    MUST(setrlimit(RLIMIT_NPROC, &limit));
    SHOW(fork());
    _exit(0);
  }
  say_end("child", child);
}

BEHAVIOUR(extended_attributes) {
  const int file = make_file("file", "");
  char value[8];
  SHOW(getxattr("file", "", value, 8));
  SHOW(getxattr("file", "unknown.name", value, 8));
  SHOW(getxattr("missing", "user.name", value, 8));
  SHOW(setxattr("file", "user.name", "x", 1, 99));
  SHOW(setxattr("file", "unknown.name", "x", 1, 0));
  SHOW(fremovexattr(file, "unknown.name"));
  SHOW(fgetxattr(99, "user.name", value, 8));
  SHOW(listxattr("missing", NULL, 0));
}

BEHAVIOUR(scheduling_attributes) {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attributes = {0};
  SHOW(syscall(SYS_sched_getattr, 0, &attributes, 48, 0));
  say("%u %u %d", attributes.size, attributes.policy, attributes.nice);
  attributes.policy = 3;
  attributes.nice = 7;
  SHOW(syscall(SYS_sched_setattr, 0, &attributes, 0));
  SHOW(sched_getscheduler(0));
  SHOW(getpriority(PRIO_PROCESS, 0));
  SHOW(syscall(SYS_sched_getattr, 0, &attributes, 4, 0));
  SHOW(syscall(SYS_sched_setattr, 0, &attributes, 1));
  attributes.policy = 77;
  SHOW(syscall(SYS_sched_setattr, 0, &attributes, 0));
  const pid_t child = start_child();
  if (child == 0) {
    SHOW(sched_getscheduler(0));
    SHOW(getpriority(PRIO_PROCESS, 0));
    _exit(0);
  }
  say_end("child", child);
}

// getdents(2), which only old programs use.
BEHAVIOUR(old_directory_records) {
  close(make_file("a-file-with-a-name", ""));
  MUST(mkdir("folder", 0700));
  const int folder = (int)MUST(open(".", O_RDONLY | O_DIRECTORY));
  char records[1024];
  const long size = MUST(syscall(SYS_getdents, folder, records, sizeof(records)));
  int count = 0;
  for (long at = 0; at < size; ++count) {
    uint16_t length = 0;
    memcpy(&length, records + at + 16, sizeof(length));
    if (records[at + 18] == 'a') {
      say("%c: type %d, rest %d", records[at + 18], records[at + length - 1],
          (int)strlen(records + at + 18));
    }
    at += length;
  }
  say("%d records", count);
  SHOW(syscall(SYS_getdents, folder, records, sizeof(records)));
  SHOW(syscall(SYS_getdents, 99, records, sizeof(records)));
}

BEHAVIOUR(unsharing) {
  SHOW(unshare(CLONE_FILES));
  SHOW(unshare(0));
  SHOW(unshare(1));
}

BEHAVIOUR(other_controls) {
  SHOW(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0));
  SHOW(prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0));
  SHOW(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0));
  int reaps = 5;
  SHOW(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
  SHOW(prctl(PR_GET_CHILD_SUBREAPER, &reaps, 0, 0, 0));
  say("%d", reaps);
  SHOW(prctl(PR_SET_PDEATHSIG, 99, 0, 0, 0));
  SHOW(prctl(PR_SET_NO_NEW_PRIVS, 2, 0, 0, 0));
  SHOW(syscall(SYS_getrandom, reaps, 0, 6));
}
