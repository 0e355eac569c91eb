#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

// Pseudo-terminals: line editing, modes, sessions and job control.

static char buffer[5000];

static int open_pair(int* other) {
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  CHECK(master >= 0);
  char name[32];
  CHECK_ERROR(open("/dev/pts/none", O_RDWR), ENOENT);
  CHECK(ptsname_r(master, name, sizeof(name)) == 0);
  CHECK_ERROR(open(name, O_RDWR | O_NOCTTY), EIO);
  CHECK(grantpt(master) == 0 && unlockpt(master) == 0);
  *other = open(name, O_RDWR | O_NOCTTY);
  CHECK(*other >= 0);
  return master;
}

// Reads what has come within a moment.
static long drain(int descriptor) {
  long total = 0;
  struct pollfd entry = {descriptor, POLLIN, 0};
  while (poll(&entry, 1, 20) == 1 && (entry.revents & POLLIN) != 0) {
    long count = read(descriptor, buffer + total, sizeof(buffer) - 1 - (size_t)total);
    if (count <= 0) {
      break;
    }
    total += count;
  }
  buffer[total] = 0;
  return total;
}

static int reads(int descriptor, const char* expected) {
  long count = read(descriptor, buffer, sizeof(buffer) - 1);
  buffer[count < 0 ? 0 : count] = 0;
  return count == (long)strlen(expected) && strcmp(buffer, expected) == 0;
}

static void test_lines(void) {
  int tty, master = open_pair(&tty);
  struct termios settings;
  CHECK(isatty(tty) && isatty(master) && tcgetattr(tty, &settings) == 0);
  CHECK((settings.c_lflag & (ICANON | ECHO | ISIG)) == (ICANON | ECHO | ISIG));
  struct stat status;
  CHECK(fstat(tty, &status) == 0 && S_ISCHR(status.st_mode));
  CHECK(write(master, "ab\177c\n", 5) == 5 && reads(tty, "ac\n"));
  drain(master);
  CHECK(strcmp(buffer, "ab\b \bc\r\n") == 0);
  CHECK(write(master, "one two\027x\ny\025z\n", 14) == 14);
  CHECK(reads(tty, "one x\n") && reads(tty, "z\n"));
  CHECK(write(master, "abc\004def\n\004", 9) == 9);
  CHECK(reads(tty, "abc") && reads(tty, "def\n") && reads(tty, ""));
  CHECK(write(master, "\026\003!\n", 4) == 4 && reads(tty, "\003!\n"));
  drain(master);
  CHECK(write(tty, "a\nb", 3) == 3 && drain(master) == 4 && strcmp(buffer, "a\r\nb") == 0);
  int count = 0;
  CHECK(write(master, "four\n", 5) == 5);
  usleep(10000);
  CHECK(ioctl(tty, FIONREAD, &count) == 0 && count == 5);
  CHECK(tcflush(tty, TCIFLUSH) == 0 && ioctl(tty, FIONREAD, &count) == 0 && count == 0);
  drain(master);
  // Stop and go.
  CHECK(write(master, "\023", 1) == 1);
  struct pollfd entry = {tty, POLLOUT, 0};
  CHECK(poll(&entry, 1, 0) == 0);
  CHECK(write(master, "\021", 1) == 1 && poll(&entry, 1, 0) == 1);
  // Bytes as they come.
  cfmakeraw(&settings);
  CHECK(tcsetattr(tty, TCSANOW, &settings) == 0);
  CHECK(write(master, "a\r\003", 3) == 3 && reads(tty, "a\r\003"));
  CHECK(write(tty, "\n", 1) == 1 && drain(master) == 1);
  settings.c_cc[VMIN] = 0;
  settings.c_cc[VTIME] = 0;
  CHECK(tcsetattr(tty, TCSANOW, &settings) == 0 && read(tty, buffer, 10) == 0);
  settings.c_cc[VTIME] = 1;
  CHECK(tcsetattr(tty, TCSANOW, &settings) == 0);
  struct timespec before, after;
  clock_gettime(CLOCK_MONOTONIC, &before);
  CHECK(read(tty, buffer, 10) == 0);
  clock_gettime(CLOCK_MONOTONIC, &after);
  CHECK((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 >= 90);
  settings.c_cc[VMIN] = 5;
  CHECK(tcsetattr(tty, TCSANOW, &settings) == 0);
  CHECK(write(master, "xy", 2) == 2 && reads(tty, "xy"));
  settings.c_cc[VTIME] = 0;
  CHECK(tcsetattr(tty, TCSANOW, &settings) == 0);
  entry.events = POLLIN;
  CHECK(write(master, "123", 3) == 3 && poll(&entry, 1, 0) == 0);
  CHECK(write(master, "45", 2) == 2 && poll(&entry, 1, 0) == 1 && reads(tty, "12345"));
  struct winsize size = {30, 100, 0, 0}, got;
  CHECK(ioctl(master, TIOCSWINSZ, &size) == 0 && ioctl(tty, TIOCGWINSZ, &got) == 0);
  CHECK(got.ws_row == 30 && got.ws_col == 100);
  CHECK_ERROR(ioctl(tty, TIOCSPGRP, &count), ENOTTY);
  close(tty);
  entry.fd = master;
  CHECK(poll(&entry, 1, 0) == 1 && entry.revents == POLLHUP);
  CHECK_ERROR(read(master, buffer, 1), EIO);
  int peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  CHECK(peer >= 0 && fcntl(peer, F_GETFD) == FD_CLOEXEC);
  CHECK(write(peer, "x", 1) == 1 && read(master, buffer, 10) == 1);
  close(master);
  CHECK(read(peer, buffer, 10) == 0);
  CHECK_ERROR(write(peer, "x", 1), EIO);
  CHECK_ERROR(tcgetattr(peer, &settings), EIO);
  close(peer);
}

static volatile sig_atomic_t seen;
static void note(int number) {
  seen = number;
}

// Waits for the child's one byte, which says how far it is.
static int told(int descriptor) {
  char byte = 0;
  return read(descriptor, &byte, 1) == 1 ? byte : -1;
}

static void run_session(const char* name, int out) {
  setsid();
  int tty = open(name, O_RDWR);
  struct sigaction action = {.sa_handler = note};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGWINCH, &action, NULL);
  sigaction(SIGHUP, &action, NULL);
  int own = open("/dev/tty", O_RDWR);
  pid_t group = 0, session = 0;
  int good = tty >= 0 && own >= 0 && ioctl(own, TIOCGPGRP, &group) == 0 && group == getpid() &&
             ioctl(tty, TIOCGSID, &session) == 0 && session == getpid();
  write(out, good ? "s" : "?", 1);
  // ^C, a change of size, then a hang-up, each told by its number.
  for (int round = 0; round < 3; ++round) {
    seen = 0;
    long count = read(tty, buffer, 1);
    char byte = count < 0 && errno == EINTR ? (char)seen : '?';
    if (round == 2) {
      byte = seen == SIGHUP ? SIGHUP : '?';
    }
    write(out, &byte, 1);
  }
  _exit(0);
}

static void test_session(void) {
  int ends[2], master = posix_openpt(O_RDWR | O_NOCTTY);
  char name[32];
  CHECK(pipe(ends) == 0 && unlockpt(master) == 0 && ptsname_r(master, name, sizeof(name)) == 0);
  pid_t child = fork();
  if (child == 0) {
    close(master);
    run_session(name, ends[1]);
  }
  close(ends[1]);
  CHECK(told(ends[0]) == 's');
  usleep(30000);
  CHECK(write(master, "\003", 1) == 1 && told(ends[0]) == SIGINT);
  usleep(30000);
  struct winsize size = {11, 22, 0, 0};
  CHECK(ioctl(master, TIOCSWINSZ, &size) == 0 && told(ends[0]) == SIGWINCH);
  usleep(30000);
  close(master);
  CHECK(told(ends[0]) == SIGHUP);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  close(ends[0]);
}

// A shell's work: a job in the background that reads, then the foreground, then ^Z.
static void run_shell(const char* name, int out) {
  setsid();
  int tty = open(name, O_RDWR), status = 0;
  pid_t job = fork();
  if (job == 0) {
    setpgid(0, 0);
    long count = read(tty, buffer, 100);
    buffer[count < 0 ? 0 : count] = 0;
    if (strcmp(buffer, "go\n") == 0) {
      read(tty, buffer, 100);
    }
    _exit(9);
  }
  setpgid(job, job);
  int good =
      waitpid(job, &status, WUNTRACED) == job && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN;
  write(out, good ? "1" : "?", 1);
  signal(SIGTTOU, SIG_IGN);
  good = tcsetpgrp(tty, job) == 0 && tcgetpgrp(tty) == job && kill(-job, SIGCONT) == 0;
  write(out, good ? "2" : "?", 1);
  good =
      waitpid(job, &status, WUNTRACED) == job && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP;
  write(out, good ? "3" : "?", 1);
  tcsetpgrp(tty, getpid());
  kill(-job, SIGKILL);
  good = waitpid(job, &status, 0) == job && WIFSIGNALED(status);
  write(out, good ? "4" : "?", 1);
  pid_t none = 30000;
  good = ioctl(tty, TIOCSPGRP, &none) == -1 && errno == ESRCH;
  write(out, good ? "5" : "?", 1);
  _exit(0);
}

static void test_jobs(void) {
  int ends[2], master = posix_openpt(O_RDWR | O_NOCTTY);
  char name[32];
  CHECK(pipe(ends) == 0 && unlockpt(master) == 0 && ptsname_r(master, name, sizeof(name)) == 0);
  pid_t child = fork();
  if (child == 0) {
    run_shell(name, ends[1]);
  }
  close(ends[1]);
  CHECK(told(ends[0]) == '1');
  CHECK(told(ends[0]) == '2');
  CHECK(write(master, "go\n", 3) == 3);
  usleep(50000);
  CHECK(write(master, "\032", 1) == 1);
  CHECK(told(ends[0]) == '3');
  CHECK(told(ends[0]) == '4');
  CHECK(told(ends[0]) == '5');
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  close(master), close(ends[0]);
}

int main(void) {
  test_lines();
  test_session();
  test_jobs();
  return finish();
}
