// Calls that only Linux has, and that libraries and run-times use: pidfd_open(2), openat2(2),
// membarrier(2), arch_prctl(2), set_robust_list(2), ioctl(2) on descriptors, SIGIO.
#include <linux/membarrier.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/personality.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <utime.h>

#include "contract.h"

// A descriptor of a process: it becomes readable at the process's end, and signals can go through
// it.
BEHAVIOUR(process_descriptor) {
  const pid_t child = start_child();
  if (child == 0) {
    pause();
    _exit(0);
  }
  const int file = (int)DOES(syscall(SYS_pidfd_open, child, 0));
  SHOW(fcntl(file, F_GETFD));
  struct pollfd ready = {file, POLLIN, 0};
  SHOW(poll(&ready, 1, 0));
  SHOW(syscall(SYS_pidfd_send_signal, file, 0, NULL, 0));
  SHOW(syscall(SYS_pidfd_send_signal, file, SIGTERM, NULL, 0));
  SHOW(poll(&ready, 1, 5000));
  siginfo_t info = {0};
  SHOW(waitid(P_PIDFD, (id_t)file, &info, WEXITED));
  say("status %s", signal_name(info.si_status));
  SHOW(syscall(SYS_pidfd_send_signal, file, SIGTERM, NULL, 0));
  SHOW(syscall(SYS_pidfd_open, child, 0));
  SHOW(syscall(SYS_pidfd_open, getpid(), 1));
}

// openat2 confines a look-up and refuses what it does not know.
BEHAVIOUR(confined_open) {
  MUST(mkdir("folder", 0700));
  close(make_file("folder/file", "x"));
  close(make_file("outside", "x"));
  MUST(symlink("../outside", "folder/link"));
  MUST(symlink("/file", "folder/absolute"));
  const int folder = (int)MUST(open("folder", O_RDONLY));
  struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
  DOES(syscall(SYS_openat2, folder, "file", &how, sizeof(how)));
  SHOW(syscall(SYS_openat2, folder, "../outside", &how, sizeof(how)));
  SHOW(syscall(SYS_openat2, folder, "link", &how, sizeof(how)));
  SHOW(syscall(SYS_openat2, folder, "/dev/null", &how, sizeof(how)));
  how.resolve = RESOLVE_IN_ROOT;
  DOES(syscall(SYS_openat2, folder, "absolute", &how, sizeof(how)));
  SHOW(syscall(SYS_openat2, folder, "link", &how, sizeof(how)));
  how.resolve = RESOLVE_NO_SYMLINKS;
  SHOW(syscall(SYS_openat2, folder, "link", &how, sizeof(how)));
  how.resolve = 0x10000;
  SHOW(syscall(SYS_openat2, folder, "file", &how, sizeof(how)));
  how.resolve = 0;
  how.mode = 0600;
  SHOW(syscall(SYS_openat2, folder, "file", &how, sizeof(how)));
  SHOW(syscall(SYS_openat2, folder, "file", &how, 8));
}

BEHAVIOUR(memory_barriers) {
  FACT((syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) & MEMBARRIER_CMD_PRIVATE_EXPEDITED) !=
       0);
  SHOW(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
  SHOW(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
  SHOW(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
  SHOW(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 77, 0));
  SHOW(syscall(SYS_membarrier, 1 << 30, 0, 0));
}

// The base of GS can be set and read, and is kept.
BEHAVIOUR(segment_bases) {
  enum { kSetGs = 0x1001, kGetFs = 0x1003, kGetGs = 0x1004 };
  unsigned long base = 0;
  static unsigned long word = 4321;
  SHOW(syscall(SYS_arch_prctl, kGetFs, &base));
  FACT(base != 0);
  SHOW(syscall(SYS_arch_prctl, kSetGs, &word));
  SHOW(syscall(SYS_arch_prctl, kGetGs, &base));
  FACT(base == (unsigned long)&word);
  sched_yield();
  sleep_ms(2);
  unsigned long read_back = 0;
  __asm__ volatile("mov %%gs:0, %0" : "=r"(read_back));
  say("%lu", read_back);
  SHOW(syscall(SYS_arch_prctl, kSetGs, 1UL << 63));
  SHOW(syscall(SYS_arch_prctl, 0x9999, 0));
}

BEHAVIOUR(robust_list) {
  long head[3] = {(long)head, 0, 0};
  SHOW(syscall(SYS_set_robust_list, head, 24));
  SHOW(syscall(SYS_set_robust_list, head, 23));
  void* found = NULL;
  size_t size = 0;
  SHOW(syscall(SYS_get_robust_list, 0, &found, &size));
  FACT(found == head);
  say("size %zu", size);
  SHOW(syscall(SYS_get_robust_list, 1 << 29, &found, &size));
}

BEHAVIOUR(descriptor_controls) {
  int ends[2];
  MUST(pipe(ends));
  int on = 1;
  SHOW(ioctl(ends[0], FIONBIO, &on));
  FACT((fcntl(ends[0], F_GETFL) & O_NONBLOCK) != 0);
  SHOW(ioctl(ends[0], FIOCLEX));
  SHOW(fcntl(ends[0], F_GETFD));
  SHOW(ioctl(ends[0], FIONCLEX));
  SHOW(fcntl(ends[0], F_GETFD));
  SHOW(ioctl(ends[0], TIOCGWINSZ, &on));
  SHOW(ioctl(99, FIONBIO, &on));
  SHOW(ioctl(make_file("file", "12345"), FIONREAD, &on));
  say("%d bytes", on);
}

// A descriptor with O_ASYNC sends SIGIO, or the signal of F_SETSIG, when something arrives.
BEHAVIOUR(asynchronous_input) {
  int pair[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  on_signal(SIGIO, count_signal, 0);
  SHOW(fcntl(pair[0], F_SETOWN, getpid()));
  FACT(fcntl(pair[0], F_GETOWN) == getpid());
  SHOW(fcntl(pair[0], F_SETFL, O_ASYNC));
  MUST(write(pair[1], "x", 1));
  say("SIGIO %d times", (int)signal_count);
  SHOW(fcntl(pair[0], F_SETSIG, SIGIO));
  SHOW(fcntl(pair[0], F_GETSIG));
}

BEHAVIOUR(old_time_setters) {
  close(make_file("file", ""));
  const struct utimbuf times = {100, 200};
  SHOW(utime("file", &times));
  struct stat status;
  MUST(stat("file", &status));
  say("%ld %ld", status.st_atim.tv_sec, status.st_mtim.tv_sec);
  SHOW(utime("missing", &times));
}

BEHAVIOUR(access_hints) {
  const int file = make_file("file", "text");
  int ends[2];
  MUST(pipe(ends));
  SHOW(posix_fadvise(file, 0, 0, POSIX_FADV_SEQUENTIAL));
  say("%s", error_name(posix_fadvise(file, 0, 0, 99)));
  say("%s", error_name(posix_fadvise(ends[0], 0, 0, POSIX_FADV_NORMAL)));
  SHOW(readahead(file, 0, 100));
  SHOW(sync_file_range(file, 0, 0, 0));
  SHOW(sync_file_range(file, 0, 0, 0x100));
}

BEHAVIOUR(system_v_semaphores) {
  const int id = (int)DOES(semget(IPC_PRIVATE, 2, IPC_CREAT | 0600));
  SHOW(semctl(id, 0, SETVAL, 1));
  SHOW(semctl(id, 0, GETVAL));
  struct sembuf take = {0, -1, IPC_NOWAIT};
  SHOW(semop(id, &take, 1));
  SHOW(semop(id, &take, 1));
  const pid_t child = start_child();
  if (child == 0) {
    sleep_ms(10);
    struct sembuf give = {0, 1, 0};
    MUST(semop(id, &give, 1));
    _exit(0);
  }
  struct sembuf wait = {0, -1, 0};
  SHOW(semop(id, &wait, 1));
  say_end("child", child);
  SHOW(semctl(id, 0, IPC_RMID));
  SHOW(semop(id, &wait, 1));
}

// What SEM_UNDO has to undo has a limit, and a process's end undoes it.
BEHAVIOUR(system_v_undo) {
  const int id = (int)DOES(semget(IPC_PRIVATE, 300, IPC_CREAT | 0600));
  const pid_t child = start_child();
  if (child == 0) {
    struct sembuf up = {7, 32767, SEM_UNDO};
    struct sembuf down = {7, -32767, 0};
    struct sembuf one[] = {{7, 1, SEM_UNDO}, {7, -1, 0}};
    SHOW(semop(id, &up, 1));
    SHOW(semop(id, &down, 1));
    SHOW(semop(id, one, 2));
    SHOW(semop(id, one, 2));
    SHOW(semctl(id, 7, GETVAL));
    struct sembuf many[200];
    for (int i = 0; i < 200; ++i) {
      many[i] = (struct sembuf){(unsigned short)(299 - i), 2, SEM_UNDO};
    }
    SHOW(semop(id, many, 200));
    struct sembuf kept = {250, 5, 0};
    SHOW(semop(id, &kept, 1));
    many[0].sem_op = 32767;
    SHOW(semop(id, many, 200));
    SHOW(semctl(id, 298, GETVAL));
    _exit(0);
  }
  say_end("child", child);
  int sum = 0;
  for (int i = 0; i < 300; ++i) {
    sum += semctl(id, i, GETVAL);
  }
  say("sum %d, one %d", sum, semctl(id, 250, GETVAL));
  SHOW(semctl(id, 0, IPC_RMID));
}

// A message wakes those only whom it is for, and the queue stays in order.
BEHAVIOUR(system_v_messages) {
  struct {
    long type;
    char text[8];
  } message = {0, {0}};
  const int id = (int)DOES(msgget(IPC_PRIVATE, IPC_CREAT | 0600));
  pid_t children[2];
  for (int i = 0; i < 2; ++i) {
    children[i] = start_child();
    if (children[i] == 0) {
      MUST(msgrcv(id, &message, sizeof(message.text), i + 1, 0));
      say("%d got %s", i + 1, message.text);
      _exit(0);
    }
    wait_until_asleep(children[i]);
  }
  for (int i = 2; i > 0; --i) {
    message.type = i;
    snprintf(message.text, sizeof(message.text), "for %d", i);
    // Only the child speaks of it: which of the two went on first is not a behaviour.
    MUST(msgsnd(id, &message, sizeof(message.text), 0));
    say_end("child", children[i - 1]);
  }
  for (int i = 0; i < 6; ++i) {
    message.type = i % 3 + 1;
    message.text[0] = (char)('a' + i);
    message.text[1] = 0;
    MUST(msgsnd(id, &message, 2, 0));
  }
  static const long wanted[] = {3, -2, 0, -9, 0, 0};
  for (int i = 0; i < 6; ++i) {
    SHOW(msgrcv(id, &message, 2, wanted[i], IPC_NOWAIT));
    say("%ld %s", message.type, message.text);
    message.text[0] = '-';
    if (i == 3) {
      SHOW(msgsnd(id, &message, 2, 0));
    }
  }
  SHOW(msgrcv(id, &message, 2, 0, IPC_NOWAIT));
  SHOW(msgctl(id, IPC_RMID, NULL));
}

BEHAVIOUR(personality_reads) {
  SHOW(personality(0xffffffff));
}

BEHAVIOUR(processor_number) {
  unsigned processor = 99999;
  unsigned node = 99999;
  SHOW(syscall(SYS_getcpu, &processor, &node, NULL));
  FACT(processor < 4096 && node < 4096);
}

BEHAVIOUR(capabilities) {
  struct {
    uint32_t version;
    int process;
  } header = {0x20080522, 0};
  uint32_t data[6] = {0};
  SHOW(syscall(SYS_capget, &header, data));
  FACT((data[0] & 1) != 0);
  header.version = 1;
  SHOW(syscall(SYS_capget, &header, data));
  say("version %x", header.version);
  const pid_t child = start_child();
  if (child == 0) {
    become_user();
    MUST(syscall(SYS_capget, &header, data));
    say("effective %x %x", data[0], data[3]);
    _exit(0);
  }
  say_end("user", child);
}

// ENODEV, ENXIO and others of descriptors that cannot do what is asked.
BEHAVIOUR(wrong_kinds) {
  const int event = (int)MUST(syscall(SYS_eventfd2, 0, 0));
  char byte;
  SHOW(mmap(NULL, 4096, PROT_READ, MAP_SHARED, event, 0));
  SHOW(lseek(event, 0, SEEK_SET));
  SHOW(ftruncate(event, 0));
  SHOW(fsync(event));
  SHOW(fchdir(event));
  SHOW(ioctl(event, TIOCGWINSZ, &byte));
}
