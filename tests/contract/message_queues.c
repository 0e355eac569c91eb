// Message queues of POSIX: mq_overview(7).
#include <mqueue.h>
#include <poll.h>
#include <sys/resource.h>

#include "contract.h"

// A name that no other process uses.
static const char* queue_name(void) {
  static char name[64];
  snprintf(name, sizeof(name), "/contract-%d", (int)getpid());
  return name;
}

static mqd_t make_queue(int flags) {
  struct mq_attr attributes = {.mq_maxmsg = 3, .mq_msgsize = 16};
  return (mqd_t)MUST(mq_open(queue_name(), O_CREAT | O_RDWR | flags, 0600, &attributes));
}

static struct timespec soon(long milliseconds) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  time.tv_nsec += milliseconds * 1000000;
  time.tv_sec += time.tv_nsec / 1000000000;
  time.tv_nsec %= 1000000000;
  return time;
}

BEHAVIOUR(messages_by_priority) {
  const mqd_t queue = make_queue(0);
  SHOW(mq_send(queue, "low", 3, 1));
  SHOW(mq_send(queue, "high", 4, 9));
  SHOW(mq_send(queue, "high2", 5, 9));
  struct mq_attr attributes;
  SHOW(mq_getattr(queue, &attributes));
  say("%ld %ld %ld %ld", attributes.mq_flags, attributes.mq_maxmsg, attributes.mq_msgsize,
      attributes.mq_curmsgs);
  char text[17] = "";
  unsigned priority = 0;
  for (int i = 0; i < 3; ++i) {
    memset(text, 0, sizeof(text));
    SHOW(mq_receive(queue, text, 16, &priority));
    say("%s %u", text, priority);
  }
  SHOW(mq_unlink(queue_name()));
  SHOW(mq_unlink(queue_name()));
  SHOW(mq_send(queue, "still", 5, 0));
  SHOW(mq_close(queue));
  SHOW(mq_close(queue));
}

BEHAVIOUR(opening) {
  SHOW(mq_open(queue_name(), O_RDONLY));
  SHOW(mq_open("no-slash", O_RDONLY));
  SHOW(mq_open("/", O_RDONLY));
  SHOW(mq_open("/two/slashes", O_RDONLY));
  SHOW(syscall(SYS_mq_open, "", O_RDONLY, 0, NULL));
  SHOW(syscall(SYS_mq_open, ".", O_RDONLY, 0, NULL));
  SHOW(syscall(SYS_mq_open, 8, O_RDONLY, 0, NULL));
  char name[300] = "/";
  memset(name + 1, 'x', 256);
  SHOW(mq_open(name, O_RDWR | O_CREAT, 0600, NULL));
  const mqd_t queue = make_queue(0);
  SHOW(fcntl(queue, F_GETFD));
  SHOW(mq_open(queue_name(), O_CREAT | O_EXCL | O_RDWR, 0600, NULL));
  SHOW(mq_open(queue_name(), O_RDWR | O_WRONLY));
  struct mq_attr attributes = {.mq_maxmsg = 0, .mq_msgsize = 16};
  SHOW(mq_open("/contract-never", O_CREAT | O_RDWR, 0600, &attributes));
  attributes = (struct mq_attr){.mq_maxmsg = 1, .mq_msgsize = 0};
  SHOW(mq_open("/contract-never", O_CREAT | O_RDWR, 0600, &attributes));
  attributes = (struct mq_attr){.mq_maxmsg = -1, .mq_msgsize = 8};
  SHOW(mq_open("/contract-never", O_CREAT | O_RDWR, 0600, &attributes));
  attributes = (struct mq_attr){.mq_maxmsg = 65537, .mq_msgsize = 1};
  SHOW(mq_open("/contract-never", O_CREAT | O_RDWR, 0600, &attributes));
  SHOW(syscall(SYS_mq_open, "contract-never", O_CREAT | O_RDWR, 0600, 8));
  SHOW(mq_unlink(queue_name()));
}

BEHAVIOUR(opening_by_others) {
  const mqd_t queue = make_queue(0);
  char name[64];
  strcpy(name, queue_name());
  const pid_t child = start_child();
  if (child == 0) {
    become_user();
    SHOW(mq_open(name, O_RDONLY));
    SHOW(mq_unlink(name));
    struct mq_attr attributes = {.mq_maxmsg = 11, .mq_msgsize = 16};
    SHOW(mq_open("/contract-never", O_CREAT | O_RDWR, 0600, &attributes));
    attributes = (struct mq_attr){.mq_maxmsg = 10, .mq_msgsize = 8193};
    SHOW(mq_open("/contract-never", O_CREAT | O_RDWR, 0600, &attributes));
    const struct rlimit limit = {100, 100};
    MUST(setrlimit(RLIMIT_MSGQUEUE, &limit));
    SHOW(mq_open("/contract-never", O_CREAT | O_RDWR, 0600, NULL));
    SHOW(mq_send(queue, "x", 1, 0));
    _exit(0);
  }
  say_end("user", child);
  SHOW(mq_unlink(name));
}

BEHAVIOUR(sending) {
  const mqd_t queue = make_queue(O_NONBLOCK);
  SHOW(mq_send(queue, "12345678901234567", 17, 0));
  SHOW(mq_send(queue, "x", 1, 32768));
  SHOW(mq_send(queue, "x", 1, 32767));
  SHOW(mq_send(queue, "", 0, 0));
  SHOW(mq_send(queue, (char*)8, 4, 0));
  SHOW(mq_send(queue, "x", 1, 0));
  SHOW(mq_send(queue, "x", 1, 0));
  SHOW(mq_send(99, "x", 1, 0));
  SHOW(mq_send(1, "x", 1, 0));
  const mqd_t reader = (mqd_t)MUST(mq_open(queue_name(), O_RDONLY));
  SHOW(mq_send(reader, "x", 1, 0));
  struct timespec time = {0, -1};
  SHOW(mq_timedsend(queue, "x", 1, 0, &time));
  SHOW(mq_timedsend(queue, "x", 1, 0, (struct timespec*)8));
  const mqd_t waiting = (mqd_t)MUST(mq_open(queue_name(), O_RDWR));
  time = soon(20);
  SHOW(mq_timedsend(waiting, "x", 1, 0, &time));
  SHOW(mq_unlink(queue_name()));
}

BEHAVIOUR(receiving) {
  const mqd_t queue = make_queue(O_NONBLOCK);
  char text[32];
  SHOW(mq_receive(queue, text, 16, NULL));
  SHOW(mq_receive(queue, text, 15, NULL));
  SHOW(mq_receive(99, text, 16, NULL));
  SHOW(mq_receive(1, text, 16, NULL));
  const mqd_t writer = (mqd_t)MUST(mq_open(queue_name(), O_WRONLY));
  SHOW(mq_receive(writer, text, 16, NULL));
  const mqd_t waiting = (mqd_t)MUST(mq_open(queue_name(), O_RDWR));
  struct timespec time = soon(20);
  SHOW(mq_timedreceive(waiting, text, 16, NULL, &time));
  time.tv_nsec = 1000000000;
  SHOW(mq_timedreceive(waiting, text, 16, NULL, &time));
  MUST(mq_send(queue, "message", 7, 5));
  time.tv_sec = 0;
  time.tv_nsec = 0;
  SHOW(mq_timedreceive(waiting, text, 32, NULL, &time));
  SHOW(mq_timedreceive(waiting, text, 32, NULL, &time));
  SHOW(mq_unlink(queue_name()));
}

BEHAVIOUR(waiting_processes) {
  const mqd_t queue = make_queue(0);
  const pid_t child = start_child();
  if (child == 0) {
    char text[17] = "";
    SHOW(mq_receive(queue, text, 16, NULL));
    say("%s", text);
    _exit(0);
  }
  wait_until_asleep(child);
  MUST(mq_send(queue, "wakes", 5, 0));
  say_end("receiver", child);
  for (int i = 0; i < 3; ++i) {
    MUST(mq_send(queue, "x", 1, 0));
  }
  const pid_t sender = start_child();
  if (sender == 0) {
    SHOW(mq_send(queue, "last", 4, 0));
    _exit(0);
  }
  wait_until_asleep(sender);
  char text[16];
  MUST(mq_receive(queue, text, 16, NULL));
  say_end("sender", sender);
  SHOW(mq_unlink(queue_name()));
}

BEHAVIOUR(interrupted) {
  const mqd_t queue = make_queue(0);
  char text[16];
  on_signal(SIGUSR1, count_signal, 0);
  const pid_t nagger = start_nagging(SIGUSR1);
  SHOW(mq_receive(queue, text, 16, NULL));
  stop_nagging(nagger);
  SHOW(mq_unlink(queue_name()));
}

BEHAVIOUR(polling) {
  const mqd_t queue = make_queue(0);
  struct pollfd ready = {queue, POLLIN | POLLOUT, 0};
  SHOW(poll(&ready, 1, 0));
  say("%x", ready.revents);
  for (int i = 0; i < 3; ++i) {
    MUST(mq_send(queue, "x", 1, 0));
  }
  SHOW(poll(&ready, 1, 0));
  say("%x", ready.revents);
  SHOW(mq_unlink(queue_name()));
}

BEHAVIOUR(attributes) {
  const mqd_t queue = make_queue(0);
  struct mq_attr attributes = {.mq_flags = O_NONBLOCK, .mq_maxmsg = 77};
  struct mq_attr old;
  SHOW(mq_setattr(queue, &attributes, &old));
  say("%ld %ld", old.mq_flags, old.mq_maxmsg);
  SHOW(mq_getattr(queue, &old));
  say("%ld %ld", old.mq_flags, old.mq_maxmsg);
  char text[16];
  SHOW(mq_receive(queue, text, 16, NULL));
  attributes.mq_flags = O_NONBLOCK | 1;
  SHOW(mq_setattr(queue, &attributes, NULL));
  SHOW(syscall(SYS_mq_getsetattr, queue, 8, NULL));
  SHOW(syscall(SYS_mq_getsetattr, queue, NULL, 8));
  SHOW(syscall(SYS_mq_getsetattr, 99, NULL, NULL));
  SHOW(syscall(SYS_mq_getsetattr, 1, NULL, NULL));
  SHOW(mq_unlink(queue_name()));
}

static volatile int told_code;
static volatile int told_value;
static void told(int number, siginfo_t* info, void* context) {
  (void)number;
  (void)context;
  told_code = info->si_code;
  told_value = info->si_value.sival_int;
  ++signal_count;
}

BEHAVIOUR(notification) {
  const mqd_t queue = make_queue(0);
  struct sigaction action = {.sa_sigaction = told, .sa_flags = SA_SIGINFO};
  MUST(sigaction(SIGUSR1, &action, NULL));
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  event.sigev_value.sival_int = 77;
  SHOW(mq_notify(queue, &event));
  SHOW(mq_notify(queue, &event));
  MUST(mq_send(queue, "x", 1, 0));
  FACT(told_code == SI_MESGQ);
  say("%d signals, value %d", (int)signal_count, told_value);
  MUST(mq_send(queue, "x", 1, 0));
  say("%d signals", (int)signal_count);
  SHOW(mq_notify(queue, &event));
  MUST(mq_send(queue, "x", 1, 0));
  say("not empty: %d signals", (int)signal_count);
  SHOW(mq_notify(queue, NULL));
  SHOW(mq_notify(queue, NULL));
  event.sigev_notify = 77;
  SHOW(mq_notify(queue, &event));
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = 99;
  SHOW(mq_notify(queue, &event));
  event.sigev_notify = SIGEV_NONE;
  SHOW(mq_notify(queue, &event));
  SHOW(mq_notify(99, &event));
  SHOW(mq_notify(1, &event));
  SHOW(mq_unlink(queue_name()));
}
