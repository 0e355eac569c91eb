// Programs that make the server keep something for them, again and again, get an error in the end;
// until they go, everybody else still works.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { kPage = 4096, kEnough = 1000000 };

static char* self;
static const char* only;  // the test to be run; NULL: all
static int tests;         // that were run

// A hog returns the errno that it was stopped by, or 0: nothing has stopped it.
typedef int (*Hog)(void);

static int run(char* word) {
  const pid_t child = fork();
  if (child == 0) {
    execl(self, self, word, (char*)NULL);
    _exit(99);
  }
  int status = -1;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status)
                                                                               : -1;
}

// What a shell needs: processes, pipes, files of /proc.
static void check_others(const char* who) {
  const int before = failures;
  CHECK(run("child") == 7);
  int ends[2] = {-1, -1};
  char byte = 0;
  CHECK(pipe(ends) == 0);
  CHECK(write(ends[1], "x", 1) == 1 && read(ends[0], &byte, 1) == 1 && byte == 'x');
  close(ends[0]);
  close(ends[1]);
  char text[64];
  const int file = open("/proc/self/stat", O_RDONLY);
  CHECK(read(file, text, sizeof(text)) > 0);
  close(file);
  if (failures != before) {
    printf("while %s had all it could get\n", who);
  }
}

static void test(const char* name, Hog hog, int expected, int other) {
  if (only != NULL && strcmp(only, name) != 0) {
    return;
  }
  ++tests;
  int ready[2];
  CHECK(pipe(ready) == 0);
  const pid_t child = fork();
  if (child == 0) {
    setpgid(0, 0);
    const struct rlimit limit = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_NOFILE, &limit);
    const int error = hog();
    if (write(ready[1], &error, sizeof(error)) != sizeof(error)) {
      _exit(1);
    }
    for (;;) {
      pause();
    }
  }
  close(ready[1]);
  int error = -1;
  CHECK(read(ready[0], &error, sizeof(error)) == sizeof(error));
  close(ready[0]);
  CHECK(error == expected || error == other);
  if (error != expected && error != other) {
    printf("%s: errno %d\n", name, error);
  }
  check_others(name);
  kill(-child, SIGKILL);
  CHECK(kill(child, SIGKILL) == 0);
  CHECK(waitpid(child, NULL, 0) == child);
  while (waitpid(-1, NULL, 0) > 0) {
  }
  check_others("nobody");
}

static const char* name_of(int number) {
  static char name[64];
  snprintf(name, sizeof(name), "/tmp/hog/%d", number);
  return name;
}

static void clean(void) {
  for (int i = 0; i < kEnough && (unlink(name_of(i)) == 0 || i == 0); ++i) {
  }
}

static int make_files(void) {
  for (int i = 0; i < kEnough; ++i) {
    const int file = open(name_of(i), O_CREAT | O_RDWR, 0600);
    if (file < 0) {
      return errno;
    }
    close(file);
  }
  return 0;
}

static int make_links(void) {
  close(open(name_of(0), O_CREAT | O_RDWR, 0600));
  for (int i = 1; i < kEnough; ++i) {
    char first[64];
    strcpy(first, name_of(0));
    if (link(first, name_of(i)) != 0) {
      return errno;
    }
  }
  return 0;
}

static int make_symbolic_links(void) {
  static char target[4000];
  memset(target, 'x', sizeof(target) - 1);
  for (int i = 0; i < kEnough; ++i) {
    if (symlink(target, name_of(i)) != 0) {
      return errno;
    }
  }
  return 0;
}

static int write_sparsely(void) {
  const int file = open(name_of(0), O_CREAT | O_RDWR, 0600);
  for (long i = 0; i < kEnough; ++i) {
    if (pwrite(file, "x", 1, (i * 7919) << 30) != 1) {
      return errno;
    }
  }
  return 0;
}

static int make_semaphores(void) {
  for (int i = 0; i < kEnough; ++i) {
    if (semget(IPC_PRIVATE, 32000, 0600) < 0) {
      return errno;
    }
  }
  return 0;
}

// Notes of SEM_UNDO: `set` is made before.
static int undo_set;
static int make_undos(void) {
  for (int child = 0; child < 64; ++child) {
    int ready[2];
    if (pipe(ready) != 0) {
      return errno;
    }
    if (fork() == 0) {
      int error = 0;
      for (int first = 0; first < 20000 && error == 0; first += 400) {
        struct sembuf operations[400];
        for (int i = 0; i < 400; ++i) {
          operations[i] = (struct sembuf){(unsigned short)(first + i), 1, SEM_UNDO};
        }
        error = semop(undo_set, operations, 400) == 0 ? 0 : errno;
      }
      if (write(ready[1], &error, sizeof(error)) < 0) {
        _exit(1);
      }
      for (;;) {
        pause();
      }
    }
    int error = 0;
    if (read(ready[0], &error, sizeof(error)) != sizeof(error) || error != 0) {
      return error;
    }
    close(ready[0]);
    close(ready[1]);
  }
  return 0;
}

static void remove_objects(void) {
  struct seminfo info;
  const int sets = semctl(0, 0, SEM_INFO, &info);
  for (int i = 0; i <= sets; ++i) {
    struct semid_ds state;
    const int id = semctl(i, 0, SEM_STAT, &state);
    semctl(id, 0, IPC_RMID);
  }
  struct msginfo messages;
  const int queues = msgctl(0, MSG_INFO, (struct msqid_ds*)&messages);
  for (int i = 0; i <= queues; ++i) {
    struct msqid_ds state;
    msgctl(msgctl(i, MSG_STAT, &state), IPC_RMID, NULL);
  }
}

static int fill_queues(void) {
  static struct {
    long type;
    char text[8192];
  } message = {1, {0}};
  for (int i = 0; i < kEnough; ++i) {
    const int queue = msgget(IPC_PRIVATE, 0600);
    if (queue < 0) {
      return errno;
    }
    while (msgsnd(queue, &message, sizeof(message.text), IPC_NOWAIT) == 0) {
    }
    if (errno != EAGAIN) {
      return errno;
    }
  }
  return 0;
}

static int open_files(void) {
  for (int i = 0; i < kEnough; ++i) {
    if (open("/dev/null", O_RDONLY) < 0) {
      return errno;
    }
  }
  return 0;
}

static int fill_pipes(void) {
  static char bytes[65536];
  for (int i = 0; i < kEnough; ++i) {
    int ends[2];
    if (pipe2(ends, O_NONBLOCK) != 0) {
      return errno;
    }
    if (write(ends[1], bytes, sizeof(bytes)) < 0 && errno != EAGAIN) {
      return errno;
    }
  }
  return 0;
}

static int fill_sockets(void) {
  static char bytes[65536];
  for (int i = 0; i < kEnough; ++i) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0) {
      return errno;
    }
    for (int each = 0; each < 4; ++each) {
      if (write(ends[0], bytes, sizeof(bytes)) < 0 && errno != EAGAIN) {
        return errno;
      }
    }
  }
  return 0;
}

// Many mappings make a long text.
static void make_mappings(void) {
  enum { kMappings = 2000 };
  char* memory = mmap(NULL, kMappings * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < kMappings; i += 2) {
    mprotect(memory + (long)i * kPage, kPage, PROT_READ);
  }
}

static int open_texts(void) {
  make_mappings();
  for (int i = 0; i < kEnough; ++i) {
    if (open("/proc/self/maps", O_RDONLY) < 0) {
      return errno;
    }
  }
  return 0;
}

static int fork_with_mappings(void) {
  make_mappings();
  for (int i = 0; i < kEnough; ++i) {
    const pid_t child = fork();
    if (child < 0) {
      return errno;
    }
    if (child == 0) {
      for (;;) {
        pause();
      }
    }
  }
  return 0;
}

static int fork_with_descriptors(void) {
  if (dup2(0, 50000) < 0) {
    return errno;
  }
  for (int i = 0; i < kEnough; ++i) {
    const pid_t child = fork();
    if (child < 0) {
      return errno;
    }
    if (child == 0) {
      for (;;) {
        pause();
      }
    }
  }
  return 0;
}

static int watch_with_epoll(void) {
  enum { kFiles = 400 };
  int files[kFiles];
  for (int i = 0; i < kFiles; ++i) {
    files[i] = eventfd(0, 0);
  }
  for (int i = 0; i < kEnough; ++i) {
    const int set = epoll_create1(0);
    if (set < 0) {
      return errno;
    }
    for (int each = 0; each < kFiles; ++each) {
      struct epoll_event event = {.events = EPOLLIN, .data = {.fd = each}};
      if (epoll_ctl(set, EPOLL_CTL_ADD, files[each], &event) != 0) {
        return errno;
      }
    }
  }
  return 0;
}

static int watch_with_inotify(void) {
  enum { kFiles = 200 };
  for (int i = 0; i < kFiles; ++i) {
    close(open(name_of(i), O_CREAT | O_RDWR, 0600));
  }
  for (int i = 0; i < kEnough; ++i) {
    const int instance = inotify_init1(IN_NONBLOCK);
    if (instance < 0) {
      return errno;
    }
    for (int each = 0; each < kFiles; ++each) {
      if (inotify_add_watch(instance, name_of(each), IN_ALL_EVENTS) < 0) {
        return errno;
      }
    }
  }
  return 0;
}

// Whom the other hog has left nothing may still be told of a child's end.
static int make_timers(void) {
  for (int child = 0; child < 20; ++child) {
    int ready[2];
    if (pipe(ready) != 0) {
      return errno;
    }
    if (fork() == 0) {
      int error = 0;
      for (int i = 0; i < 1000 && error == 0; ++i) {
        timer_t timer;
        error = timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0 ? 0 : errno;
      }
      if (write(ready[1], &error, sizeof(error)) < 0) {
        _exit(1);
      }
      for (;;) {
        pause();
      }
    }
    int error = 0;
    if (read(ready[0], &error, sizeof(error)) != sizeof(error) || error != 0) {
      return error;
    }
    close(ready[0]);
    close(ready[1]);
  }
  return 0;
}

static int lock_ranges(void) {
  enum { kFiles = 200 };
  int files[kFiles];
  for (int i = 0; i < kFiles; ++i) {
    files[i] = open(name_of(i), O_CREAT | O_RDWR, 0600);
  }
  for (int i = 0; i < kEnough; ++i) {
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = i / kFiles * 2, .l_len = 1};
    if (fcntl(files[i % kFiles], F_SETLK, &lock) != 0) {
      return errno;
    }
  }
  return 0;
}

// A page in each 2 MiB needs a table of its own.
static int spread_pages(void) {
  const long kStep = 2 << 20;
  char* const start = (char*)0x100000000000;
  for (long i = 0; i < kEnough; ++i) {
    if (mmap(start + i * kStep, kPage, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0) == MAP_FAILED) {
      return errno;
    }
  }
  return 0;
}

// Tables that are not needed any more serve again.
static void test_tables_come_back(void) {
  const long kStep = 2 << 20;
  char* const start = (char*)0x100000000000;
  int round = 0;
  for (; round < 60; ++round) {
    long i = 0;
    for (; i < 50; ++i) {
      char* const page = start + (round * 50 + i) * kStep;
      if (mmap(page, kPage, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0) == MAP_FAILED) {
        break;
      }
    }
    if (i != 50 || munmap(start + round * 50 * kStep, 50 * kStep) != 0) {
      break;
    }
  }
  CHECK(round == 60);
}

static void test_inode_numbers(void) {
  struct statvfs before;
  struct statvfs after;
  CHECK(statvfs("/tmp", &before) == 0 && before.f_files > 0 && before.f_ffree > 0);
  close(open(name_of(0), O_CREAT | O_RDWR, 0600));
  CHECK(statvfs("/tmp", &after) == 0 && after.f_ffree == before.f_ffree - 1);
  CHECK(link(name_of(0), "/tmp/hog/link") == 0);
  CHECK(statvfs("/tmp", &after) == 0 && after.f_ffree == before.f_ffree - 2);
  CHECK(unlink("/tmp/hog/link") == 0 && unlink(name_of(0)) == 0);
  CHECK(statvfs("/tmp", &after) == 0 && after.f_ffree == before.f_ffree);
}

static void test_files(const char* name, Hog hog, int expected, int other) {
  test(name, hog, expected, other);
  clean();
}

int main(int count, char** words) {
  if (count > 1 && strcmp(words[1], "child") == 0) {
    return 7;
  }
  self = words[0];
  only = count > 1 ? words[1] : NULL;
  CHECK(mkdir("/tmp/hog", 0700) == 0);
  test_inode_numbers();
  test_files("files", make_files, ENOSPC, ENOSPC);
  test_files("links", make_links, ENOSPC, ENOSPC);
  test_files("symbolic links", make_symbolic_links, ENOSPC, ENOSPC);
  test_files("sparse files", write_sparsely, ENOSPC, ENOSPC);
  test("semaphores", make_semaphores, ENOSPC, ENOSPC);
  remove_objects();
  undo_set = semget(IPC_PRIVATE, 20000, 0600);
  CHECK(undo_set >= 0);
  test("undos", make_undos, ENOMEM, ENOMEM);
  remove_objects();
  test("messages", fill_queues, ENOMEM, ENOSPC);
  remove_objects();
  test("open files", open_files, ENFILE, ENOMEM);
  test("pipes", fill_pipes, ENFILE, ENOMEM);
  test("sockets", fill_sockets, ENFILE, ENOMEM);
  test("texts", open_texts, ENFILE, ENOMEM);
  test("mappings", fork_with_mappings, ENOMEM, EAGAIN);
  test("descriptors", fork_with_descriptors, ENOMEM, EAGAIN);
  test("epoll", watch_with_epoll, ENOSPC, ENOSPC);
  test_files("inotify", watch_with_inotify, ENOSPC, ENOSPC);
  test("timers", make_timers, EAGAIN, EAGAIN);
  test_files("locks", lock_ranges, ENOLCK, ENOLCK);
  test("tables", spread_pages, ENOMEM, ENOMEM);
  if (only == NULL || strcmp(only, "tables") == 0) {
    test_tables_come_back();
  }
  CHECK(rmdir("/tmp/hog") == 0);
  CHECK(tests > 0);
  return finish();
}
