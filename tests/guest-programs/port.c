// The port to the host: what it does without one, then serves one connection after the other. The
// first line of a connection says how: "echo", "sink SIZE" or "source SIZE".
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#define PORT "/dev/virtio-ports/org.ensemble.agent"

static char buffer[1 << 20];

static int fails(const char* what) {
  printf("FAILED: %s (%s)\n", what, strerror(errno));
  fflush(stdout);
  return 1;
}

#define CHECK(condition) \
  if (!(condition))      \
  return fails(#condition)

static int check_alone(void) {
  struct stat status;
  CHECK(stat(PORT, &status) == 0 && S_ISCHR(status.st_mode));
  const int port = open(PORT, O_RDWR | O_NONBLOCK);
  CHECK(port >= 0);
  CHECK(open(PORT, O_RDWR) < 0 && errno == EBUSY);
  CHECK(read(port, buffer, 1) == 0);
  CHECK(write(port, "x", 1) < 0 && errno == EAGAIN);
  CHECK(lseek(port, 0, SEEK_CUR) < 0 && errno == ESPIPE);
  struct pollfd polled = {.fd = port, .events = POLLIN | POLLOUT};
  CHECK(poll(&polled, 1, 0) == 1 && polled.revents == (POLLIN | POLLHUP));
  CHECK(close(port) == 0);
  return 0;
}

// Edge-triggered: without a host, the port always tells of its hang-up.
static void wait_for_host(int port) {
  const int epoll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
  epoll_ctl(epoll, EPOLL_CTL_ADD, port, &event);
  do {
    epoll_wait(epoll, &event, 1, -1);
  } while ((event.events & EPOLLHUP) != 0);
  close(epoll);
}

static int write_all(int port, const char* bytes, size_t size) {
  while (size != 0) {
    const ssize_t count = write(port, bytes, size);
    if (count <= 0)
      return -1;
    bytes += count;
    size -= (size_t)count;
  }
  return 0;
}

static void echo(int port) {
  for (;;) {
    const ssize_t count = read(port, buffer, sizeof buffer);
    if (count <= 0 || write_all(port, buffer, (size_t)count) != 0)
      return;
  }
}

static void sink(int port, size_t size) {
  unsigned sum = 0;
  while (size != 0) {
    const ssize_t count = read(port, buffer, size < sizeof buffer ? size : sizeof buffer);
    if (count <= 0)
      return;
    sum = sum * 31 + (unsigned char)buffer[count - 1];
    size -= (size_t)count;
  }
  write_all(port, sum != 0 ? "taken\n" : "zeros\n", 6);
}

static void source(int port, size_t size) {
  memset(buffer, 'x', sizeof buffer);
  while (size != 0) {
    const size_t count = size < sizeof buffer ? size : sizeof buffer;
    if (write_all(port, buffer, count) != 0)
      return;
    size -= count;
  }
}

static void serve(int port) {
  char line[64];
  size_t length = 0;
  while (length + 1 < sizeof line && read(port, line + length, 1) == 1 && line[length] != '\n') {
    ++length;
  }
  line[length] = '\0';
  if (strcmp(line, "echo") == 0)
    echo(port);
  if (strncmp(line, "sink ", 5) == 0)
    sink(port, strtoul(line + 5, NULL, 10));
  if (strncmp(line, "source ", 7) == 0)
    source(port, strtoul(line + 7, NULL, 10));
  if (strcmp(line, "close") == 0)
    return;
  while (read(port, buffer, sizeof buffer) > 0) {
  }
}

int main(void) {
  if (check_alone() != 0)
    return 1;
  puts("alone: ok");
  fflush(stdout);
  for (;;) {
    const int port = open(PORT, O_RDWR);
    if (port < 0)
      return fails("open");
    wait_for_host(port);
    serve(port);
    close(port);
  }
}
