// A program for a Linux guest: connects a socket (AF_VSOCK) to the host's port PORT, or waits for
// one connection to the guest's, sends its input and then the end, and writes what it receives
// until the other end's end.
//
//   vsock_copy connect|listen PORT
#define _GNU_SOURCE
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void check(int holds, const char* what) {
  if (!holds) {
    perror(what);
    exit(1);
  }
}

static int open_socket(int listens, unsigned port) {
  const int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  check(fd >= 0, "socket");
  struct sockaddr_vm address = {.svm_family = AF_VSOCK,
                                .svm_port = port,
                                .svm_cid = listens ? VMADDR_CID_ANY : VMADDR_CID_HOST};
  if (!listens) {
    check(connect(fd, (struct sockaddr*)&address, sizeof address) == 0, "connect");
    return fd;
  }
  check(bind(fd, (struct sockaddr*)&address, sizeof address) == 0, "bind");
  check(listen(fd, 1) == 0, "listen");
  fputs("guest: listening\n", stderr);
  const int accepted = accept(fd, NULL, NULL);
  check(accepted >= 0, "accept");
  return accepted;
}

static void write_all(int fd, const char* data, ssize_t size) {
  while (size > 0) {
    const ssize_t done = write(fd, data, (size_t)size);
    check(done > 0, "write");
    data += done;
    size -= done;
  }
}

int main(int argument_count, char** arguments) {
  static char data[1 << 16];
  check(argument_count == 3, "arguments");
  const int fd = open_socket(strcmp(arguments[1], "listen") == 0, (unsigned)atoi(arguments[2]));
  int sending = 1;
  int receiving = 1;
  while (sending || receiving) {
    // Sends without waiting for the other end to read what it was sent before.
    struct pollfd polled[2] = {{.fd = receiving ? fd : -1, .events = POLLIN},
                               {.fd = sending ? fd : -1, .events = POLLOUT}};
    check(poll(polled, 2, -1) > 0, "poll");
    if (polled[0].revents != 0) {
      const ssize_t size = read(fd, data, sizeof data);
      check(size >= 0, "receive");
      receiving = size > 0;
      write_all(STDOUT_FILENO, data, size);
    }
    if ((polled[1].revents & POLLOUT) != 0) {
      const ssize_t size = read(STDIN_FILENO, data, 4096);
      check(size >= 0, "read");
      if (size > 0) {
        write_all(fd, data, size);
      } else {
        sending = 0;
        check(shutdown(fd, SHUT_WR) == 0, "shutdown");
      }
    }
  }
  return 0;
}
