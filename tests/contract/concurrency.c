// Several at once: what must hold whatever the order.
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "contract.h"

enum { kWorkers = 4 };

// Runs a function in several processes at once and prints how they ended.
static void in_processes(void (*work)(int)) {
  pid_t children[kWorkers];
  for (int i = 0; i < kWorkers; ++i) {
    children[i] = start_child();
    if (children[i] == 0) {
      work(i);
      _exit(0);
    }
  }
  for (int i = 0; i < kWorkers; ++i) {
    say_end("worker", children[i]);
  }
}

static void in_threads(void* (*work)(void*)) {
  pthread_t threads[kWorkers];
  for (long i = 0; i < kWorkers; ++i) {
    if (pthread_create(&threads[i], NULL, work, (void*)i) != 0) {
      say("cannot begin: pthread_create");
      _exit(99);
    }
  }
  for (int i = 0; i < kWorkers; ++i) {
    pthread_join(threads[i], NULL);
  }
}

// No write with O_APPEND overwrites another.
static void append_lines(int me) {
  const int file = (int)MUST(open("file", O_WRONLY | O_APPEND));
  char line[16];
  memset(line, 'a' + me, sizeof(line));
  line[15] = '\n';
  for (int i = 0; i < 200; ++i) {
    MUST(write(file, line, sizeof(line)));
  }
}

BEHAVIOUR(appends_do_not_mix) {
  const int file = make_file("file", "");
  in_processes(append_lines);
  char line[16];
  int counts[kWorkers] = {0};
  int mixed = 0;
  while (read(file, line, sizeof(line)) == sizeof(line)) {
    const int who = line[0] - 'a';
    mixed += who < 0 || who >= kWorkers || memcmp(line, line + 1, 14) != 0 || line[15] != '\n';
    counts[who & 3] += 1;
  }
  say("%d %d %d %d, mixed %d", counts[0], counts[1], counts[2], counts[3], mixed);
}

// Of all that create a name exclusively, one succeeds.
static void create_names(int me) {
  (void)me;
  int won = 0;
  for (int i = 0; i < 100; ++i) {
    char name[32];
    snprintf(name, sizeof(name), "name-%d", i);
    const int file = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
    won += file >= 0;
    close(file);
  }
  const int wins = (int)MUST(open("wins", O_WRONLY | O_APPEND));
  for (int i = 0; i < won; ++i) {
    MUST(write(wins, "x", 1));
  }
}

BEHAVIOUR(one_creates) {
  close(make_file("wins", ""));
  in_processes(create_names);
  say_stat("wins");
}

// A name that is replaced by rename is there at every moment.
static volatile int* stop_flag;
static void replace_or_look(int me) {
  if (me == 0) {
    for (int i = 0; i < 100; ++i) {
      close(make_file("new", i % 2 == 0 ? "even" : "odd!"));
      MUST(rename("new", "file"));
    }
    *stop_flag = 1;
    return;
  }
  int missing = 0;
  while (!*stop_flag) {
    char text[4];
    const int file = open("file", O_RDONLY);
    missing += file < 0 || read(file, text, 4) != 4;
    close(file);
  }
  _exit(missing == 0 ? 0 : 1);
}

BEHAVIOUR(rename_is_atomic) {
  stop_flag = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  close(make_file("file", "even"));
  in_processes(replace_or_look);
}

// Threads that map and unmap do not disturb each other.
static void* map_and_unmap(void* argument) {
  const long me = (long)argument;
  long wrong = 0;
  for (int i = 0; i < 200; ++i) {
    char* memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(memory, (int)me + 1, 65536);
    for (int j = 0; j < 65536; j += 1000) {
      wrong += memory[j] != me + 1;
    }
    wrong += munmap(memory, 65536) != 0;
  }
  if (wrong != 0) {
    say("wrong");
  }
  return NULL;
}

BEHAVIOUR(threads_map_memory) {
  in_threads(map_and_unmap);
  say("done");
}

// Pages that several threads touch first at the same time are one page.
static char* touched;
static void* touch_all(void* argument) {
  for (int i = 0; i < 256; ++i) {
    __atomic_fetch_add((int*)(void*)(touched + i * 4096), 1, __ATOMIC_SEQ_CST);
  }
  return argument;
}

BEHAVIOUR(threads_touch_the_same_pages) {
  touched = mmap(NULL, 256 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  in_threads(touch_all);
  int wrong = 0;
  for (int i = 0; i < 256; ++i) {
    wrong += *(int*)(void*)(touched + i * 4096) != kWorkers;
  }
  say("wrong %d", wrong);
}

// Opening and closing in threads gives no descriptor twice.
static void* open_and_close(void* argument) {
  for (int i = 0; i < 500; ++i) {
    const int file = open("/dev/null", O_RDWR);
    if (file < 3 || close(file) != 0) {
      say("wrong: %s", error_name(errno));
    }
  }
  return argument;
}

BEHAVIOUR(threads_share_descriptors) {
  in_threads(open_and_close);
  SHOW(open("/dev/null", O_RDONLY));
}

// malloc from several threads.
static void* allocate(void* argument) {
  const int me = (int)(long)argument + 1;
  unsigned char* blocks[50] = {NULL};
  int wrong = 0;
  for (int i = 0; i < 5000; ++i) {
    unsigned char** block = &blocks[i % 50];
    if (*block != NULL) {
      wrong += **block != me;
      free(*block);
    }
    *block = malloc((size_t)(i % 700 + 1));
    **block = (unsigned char)me;
  }
  if (wrong != 0) {
    say("wrong");
  }
  return NULL;
}

BEHAVIOUR(threads_allocate) {
  in_threads(allocate);
  say("done");
}

// 100 programs in a row leave no zombie, no descriptor and no file behind.
BEHAVIOUR(hundred_programs) {
  int failed = 0;
  for (int i = 0; i < 100; ++i) {
    const pid_t child = start_child();
    if (child == 0) {
      execl("/bin/busybox", "busybox", "true", (char*)NULL);
      _exit(98);
    }
    failed += wait_for(child) != 0;
  }
  say("failed %d", failed);
  SHOW(wait(NULL));
  SHOW(dup(1));
}

// Processes fork at the same time.
static void fork_often(int me) {
  (void)me;
  int sum = 0;
  for (int i = 0; i < 30; ++i) {
    const pid_t child = start_child();
    if (child == 0) {
      _exit(i);
    }
    sum += WEXITSTATUS(wait_for(child));
  }
  _exit(sum == 435 ? 0 : 1);
}

BEHAVIOUR(processes_fork) {
  in_processes(fork_often);
}

// Signals that arrive during computation change none of its registers.
BEHAVIOUR(signals_keep_registers) {
  on_signal(SIGUSR1, count_signal, 0);
  const pid_t parent = getpid();
  const pid_t sender = start_child();
  if (sender == 0) {
    for (int i = 0; i < 200; ++i) {
      kill(parent, SIGUSR1);
      sched_yield();
    }
    _exit(0);
  }
  int wrong = 0;
  int status = 0;
  while (waitpid(sender, &status, WNOHANG) <= 0) {
    double sum = 0;
    for (int i = 1; i <= 1000; ++i) {
      sum += 1.0 / i;
    }
    wrong += sum < 7.485470 || sum > 7.485471;
  }
  say("wrong %d", wrong);
  FACT(signal_count > 0);
}

// Floating-point state belongs to each thread and process.
static void* compute(void* argument) {
  double value = 1.0 + (double)(long)argument;
  for (int i = 0; i < 200000; ++i) {
    value = value * 1.0000001;
    if (i % 20000 == 0) {
      sched_yield();
    }
  }
  const double ratio = value / (1.0 + (double)(long)argument);
  if (ratio < 1.0202 || ratio > 1.02021) {
    say("wrong ratio");
  }
  return NULL;
}

BEHAVIOUR(floating_point_is_kept) {
  in_threads(compute);
  say("done");
}

// Bytes through a ring of pipes arrive in order.
BEHAVIOUR(ring_of_pipes) {
  enum { kStations = 6, kBytes = 200 };
  int first[2];
  MUST(pipe(first));
  int from = first[0];
  for (int i = 0; i < kStations; ++i) {
    int next[2];
    MUST(pipe(next));
    if (start_child() == 0) {
      close(first[1]);
      close(next[0]);
      char byte;
      while (read(from, &byte, 1) == 1) {
        MUST(write(next[1], &byte, 1));
      }
      _exit(0);
    }
    close(from);
    close(next[1]);
    from = next[0];
  }
  if (start_child() == 0) {
    for (int i = 0; i < kBytes; ++i) {
      const char byte = (char)i;
      MUST(write(first[1], &byte, 1));
    }
    _exit(0);
  }
  close(first[1]);
  int wrong = 0;
  int count = 0;
  for (char byte; read(from, &byte, 1) == 1; ++count) {
    wrong += byte != (char)count;
  }
  say("%d bytes, wrong %d", count, wrong);
  for (int i = 0; i < kStations + 1; ++i) {
    int status;
    MUST(wait(&status));
    say_status("station", status);
  }
}

// Two processes play ping-pong through a socket.
BEHAVIOUR(ping_pong) {
  int pair[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  const pid_t child = start_child();
  int ball = 0;
  if (child == 0) {
    while (ball < 999) {
      MUST(read(pair[1], &ball, sizeof(ball)));
      ++ball;
      MUST(write(pair[1], &ball, sizeof(ball)));
    }
    _exit(0);
  }
  while (ball < 1000) {
    MUST(write(pair[0], &ball, sizeof(ball)));
    MUST(read(pair[0], &ball, sizeof(ball)));
    ++ball;
  }
  say("ball %d", ball);
  kill(child, SIGKILL);
  wait_for(child);
}
