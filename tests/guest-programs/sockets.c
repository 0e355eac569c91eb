#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"

// Volatile, so that the compiler does not see through it.
static void* volatile kBadPointer = (void*)8;

// Sockets of AF_UNIX between descriptors of one process.

static char buffer[300000];

static socklen_t abstract(struct sockaddr_un* address, const char* name) {
  memset(address, 0, sizeof(*address));
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path + 1, name, strlen(name));
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

static int events_of(int descriptor) {
  struct pollfd entry = {descriptor, POLLIN | POLLOUT | POLLRDHUP, 0};
  return poll(&entry, 1, 0) < 0 ? -1 : entry.revents;
}

static void test_kinds(void) {
  int pair[2];
  CHECK_ERROR(socket(77, SOCK_STREAM, 0), EAFNOSUPPORT);
  CHECK_ERROR(socket(AF_UNIX, 77, 0), EINVAL);
  CHECK_ERROR(socket(AF_UNIX, SOCK_RDM, 0), ESOCKTNOSUPPORT);
  CHECK_ERROR(socket(AF_UNIX, SOCK_STREAM, 5), EPROTONOSUPPORT);
  CHECK_ERROR(socketpair(AF_UNIX, SOCK_STREAM, 0, kBadPointer), EFAULT);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
  CHECK(fcntl(pair[0], F_GETFD) == FD_CLOEXEC && fcntl(pair[1], F_GETFL) == (O_RDWR | O_NONBLOCK));
  struct stat status;
  CHECK(fstat(pair[0], &status) == 0 && S_ISSOCK(status.st_mode));
  CHECK_ERROR(lseek(pair[0], 0, SEEK_SET), ESPIPE);
  CHECK_ERROR(send(0, "x", 1, 0), ENOTSOCK);
  CHECK_ERROR(send(99, "x", 1, 0), EBADF);
  close(pair[0]), close(pair[1]);
}

static void test_stream(void) {
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
  CHECK_ERROR(recv(pair[0], buffer, 10, 0), EAGAIN);
  CHECK(events_of(pair[0]) == POLLOUT);
  CHECK(send(pair[0], "hello ", 6, 0) == 6 && write(pair[0], "world", 5) == 5);
  int count = 0;
  CHECK(ioctl(pair[1], FIONREAD, &count) == 0 && count == 11);
  CHECK(events_of(pair[1]) == (POLLIN | POLLOUT));
  CHECK(recv(pair[1], buffer, 8, MSG_PEEK) == 8 && memcmp(buffer, "hello wo", 8) == 0);
  CHECK(read(pair[1], buffer, 3) == 3 && read(pair[1], buffer, 100) == 8 &&
        memcmp(buffer, "lo world", 8) == 0);
  long total = 0;
  for (long sent; (sent = send(pair[0], buffer, sizeof(buffer), 0)) > 0;) {
    total += sent;
  }
  CHECK(errno == EAGAIN && total > 100000);
  CHECK(events_of(pair[0]) == 0);
  for (long got; (got = recv(pair[1], buffer, 10000, 0)) > 0;) {
    total -= got;
  }
  CHECK(total == 0 && events_of(pair[0]) == POLLOUT);
  CHECK_ERROR(sendto(pair[0], "x", 1, 0, (struct sockaddr*)"\1\0/x", 5), EISCONN);
  CHECK_ERROR(recv(pair[0], kBadPointer, 10, MSG_OOB), EINVAL);
  CHECK_ERROR(send(pair[0], kBadPointer, 10, 0), EFAULT);
  // Ends.
  CHECK(shutdown(pair[0], SHUT_WR) == 0);
  CHECK(events_of(pair[1]) == (POLLIN | POLLOUT | POLLRDHUP));
  CHECK(read(pair[1], buffer, 10) == 0);
  CHECK_ERROR(send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
  CHECK(send(pair[1], "back", 4, 0) == 4);
  close(pair[0]);
  CHECK(events_of(pair[1]) == (POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR));
  CHECK_ERROR(read(pair[1], buffer, 10), ECONNRESET);
  CHECK(read(pair[1], buffer, 10) == 0);
  CHECK_ERROR(send(pair[1], "x", 1, MSG_NOSIGNAL), EPIPE);
  CHECK_ERROR(shutdown(pair[1], 7), EINVAL);
  close(pair[1]);
  // Timeouts.
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  struct timeval time = {0, 20000};
  CHECK(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)) == 0);
  CHECK_ERROR(read(pair[0], buffer, 1), EAGAIN);
  CHECK(send(pair[1], "ab", 2, 0) == 2);
  CHECK(recv(pair[0], buffer, 4, MSG_WAITALL) == 2);
  CHECK_ERROR(recv(pair[0], buffer, 4, MSG_DONTWAIT), EAGAIN);
  close(pair[0]), close(pair[1]);
}

static void test_connection(void) {
  struct sockaddr_un address, got;
  socklen_t size = abstract(&address, "ensemble-test"), length = sizeof(got);
  int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK(events_of(client) == (POLLOUT | POLLHUP));
  CHECK_ERROR(listen(listener, 1), EINVAL);
  CHECK_ERROR(connect(client, (struct sockaddr*)&address, size), ECONNREFUSED);
  CHECK(bind(listener, (struct sockaddr*)&address, size) == 0);
  CHECK_ERROR(bind(client, (struct sockaddr*)&address, size), EADDRINUSE);
  CHECK_ERROR(bind(listener, (struct sockaddr*)&address, size), EINVAL);
  CHECK_ERROR(connect(client, (struct sockaddr*)&address, size), ECONNREFUSED);
  CHECK_ERROR(accept(listener, NULL, NULL), EINVAL);
  CHECK(listen(listener, 1) == 0 && events_of(listener) == 0);
  fcntl(listener, F_SETFL, O_NONBLOCK);
  CHECK_ERROR(accept(listener, NULL, NULL), EAGAIN);
  CHECK_ERROR(send(client, "x", 1, 0), ENOTCONN);
  CHECK_ERROR(recv(client, buffer, 1, 0), EINVAL);
  CHECK_ERROR(getpeername(client, (struct sockaddr*)&got, &length), ENOTCONN);
  CHECK(connect(client, (struct sockaddr*)&address, size) == 0);
  CHECK_ERROR(connect(client, (struct sockaddr*)&address, size), EISCONN);
  CHECK(events_of(listener) == POLLIN && events_of(client) == POLLOUT);
  CHECK(getpeername(client, (struct sockaddr*)&got, &length) == 0 && length == size &&
        memcmp(&got, &address, size) == 0);
  CHECK(write(client, "early", 5) == 5);
  length = sizeof(got);
  int server = accept4(listener, (struct sockaddr*)&got, &length, SOCK_CLOEXEC);
  CHECK(server >= 0 && length == 2 && got.sun_family == AF_UNIX);
  CHECK(read(server, buffer, 10) == 5);
  length = 4;
  CHECK(getsockname(server, (struct sockaddr*)&got, &length) == 0 && length == size);
  struct ucred credentials;
  length = sizeof(credentials);
  CHECK(getsockopt(server, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 &&
        credentials.pid == getpid());
  int value = 0;
  length = sizeof(value);
  CHECK(getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0 && value == 1);
  CHECK(getsockopt(listener, SOL_SOCKET, SO_TYPE, &value, &length) == 0 && value == SOCK_STREAM);
  CHECK_ERROR(getsockopt(listener, SOL_SOCKET, 999, &value, &length), ENOPROTOOPT);
  CHECK_ERROR(setsockopt(listener, 6, 1, &value, 4), EOPNOTSUPP);
  // A full queue, and one that nobody will look at any more.
  int more[3];
  for (int index = 0; index < 3; ++index) {
    more[index] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  }
  CHECK(connect(more[0], (struct sockaddr*)&address, size) == 0);
  CHECK(connect(more[1], (struct sockaddr*)&address, size) == 0);
  CHECK_ERROR(connect(more[2], (struct sockaddr*)&address, size), EAGAIN);
  close(listener);
  CHECK_ERROR(read(more[0], buffer, 1), ECONNRESET);
  CHECK_ERROR(connect(more[2], (struct sockaddr*)&address, size), ECONNREFUSED);
  close(server);
  CHECK(read(client, buffer, 1) == 0);
  close(client), close(more[0]), close(more[1]), close(more[2]);
  int automatic = socket(AF_UNIX, SOCK_DGRAM, 0);
  sa_family_t family = AF_UNIX;
  length = sizeof(got);
  CHECK(bind(automatic, (struct sockaddr*)&family, 2) == 0);
  CHECK(getsockname(automatic, (struct sockaddr*)&got, &length) == 0 && length == 8);
  CHECK_ERROR(connect(automatic, (struct sockaddr*)"\1\0/none", 8), ENOENT);
  CHECK_ERROR(connect(automatic, (struct sockaddr*)"\2\0/none", 8), EINVAL);
  CHECK_ERROR(connect(automatic, kBadPointer, 8), EFAULT);
  close(automatic);
}

static void test_datagrams(void) {
  struct sockaddr_un address, got;
  socklen_t size = abstract(&address, "datagrams"), length = sizeof(got);
  int to = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  int from = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  CHECK(bind(to, (struct sockaddr*)&address, size) == 0);
  CHECK_ERROR(send(from, "x", 1, 0), ENOTCONN);
  CHECK(sendto(from, "first", 5, 0, (struct sockaddr*)&address, size) == 5);
  CHECK(sendto(from, "", 0, 0, (struct sockaddr*)&address, size) == 0);
  CHECK(connect(from, (struct sockaddr*)&address, size) == 0);
  CHECK(send(from, "second", 6, 0) == 6);
  CHECK(recvfrom(to, buffer, 3, MSG_TRUNC, (struct sockaddr*)&got, &length) == 5 && length == 0);
  CHECK(recv(to, buffer, 10, 0) == 0);
  struct iovec part = {buffer, 3};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  CHECK(recvmsg(to, &message, 0) == 3 && message.msg_flags == MSG_TRUNC);
  CHECK_ERROR(recv(to, buffer, 10, 0), EAGAIN);
  int sent = 0;
  while (send(from, "x", 1, 0) == 1) {
    ++sent;
  }
  CHECK(errno == EAGAIN && sent >= 10 && sent <= 600);
  CHECK(events_of(from) == 0);
  CHECK(recv(to, buffer, 10, 0) == 1 && events_of(from) == POLLOUT);
  CHECK_ERROR(sendto(from, buffer, sizeof(buffer), 0, NULL, 0), EMSGSIZE);
  CHECK_ERROR(listen(to, 1), EOPNOTSUPP);
  close(to);
  CHECK_ERROR(send(from, "x", 1, 0), ECONNREFUSED);
  close(from);
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
  struct mmsghdr many[2] = {{{.msg_iov = &(struct iovec){"one", 3}, .msg_iovlen = 1}, 0},
                            {{.msg_iov = &(struct iovec){"three", 5}, .msg_iovlen = 1}, 0}};
  CHECK(sendmmsg(pair[0], many, 2, 0) == 2 && many[1].msg_len == 5);
  char first[8], second[8];
  struct mmsghdr taken[3] = {{{.msg_iov = &(struct iovec){first, 8}, .msg_iovlen = 1}, 0},
                             {{.msg_iov = &(struct iovec){second, 8}, .msg_iovlen = 1}, 0},
                             {{.msg_iov = &(struct iovec){second, 8}, .msg_iovlen = 1}, 0}};
  CHECK(recvmmsg(pair[1], taken, 3, MSG_WAITFORONE, NULL) == 2 && taken[0].msg_len == 3 &&
        memcmp(second, "three", 5) == 0);
  close(pair[0]);
  CHECK(recv(pair[1], buffer, 10, 0) == 0);
  CHECK_ERROR(send(pair[1], "x", 1, 0), EPIPE);
  close(pair[1]);
}

static long send_file(int socket, const int* files, int count) {
  char control[CMSG_SPACE(sizeof(int) * 16)] = {0};
  struct iovec part = {"f", 1};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count)};
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
  memcpy(CMSG_DATA(header), files, sizeof(int) * (size_t)count);
  return sendmsg(socket, &message, 0);
}

static void test_files(void) {
  int pair[2], ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(ends) == 0);
  CHECK(send_file(pair[0], ends, 2) == 1);
  CHECK_ERROR(send_file(pair[0], (int[]){999}, 1), EBADF);
  close(ends[0]), close(ends[1]);
  CHECK(send(pair[0], "more", 4, 0) == 4);
  char control[CMSG_SPACE(sizeof(int) * 2)];
  struct iovec part = {buffer, 100};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
  CHECK(recvmsg(pair[1], &message, MSG_CMSG_CLOEXEC) == 1);
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  CHECK(header != NULL && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof(int) * 2) && message.msg_flags == MSG_CMSG_CLOEXEC);
  memcpy(ends, CMSG_DATA(header), sizeof(ends));
  CHECK(write(ends[1], "through", 7) == 7 && read(ends[0], buffer, 10) == 7);
  CHECK(fcntl(ends[0], F_GETFD) == FD_CLOEXEC);
  CHECK(read(pair[1], buffer, 10) == 4);
  // No room for them: they are closed.
  CHECK(send_file(pair[0], &ends[1], 1) == 1);
  close(ends[1]);
  message.msg_controllen = 0;
  CHECK(recvmsg(pair[1], &message, 0) == 1 && message.msg_flags == MSG_CTRUNC);
  CHECK(read(ends[0], buffer, 10) == 0);
  close(ends[0]);
  int on = 1;
  CHECK(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0);
  CHECK(send(pair[0], "me", 2, 0) == 2);
  message.msg_controllen = sizeof(control);
  char large[CMSG_SPACE(sizeof(struct ucred))];
  message.msg_control = large;
  message.msg_controllen = sizeof(large);
  CHECK(recvmsg(pair[1], &message, 0) == 2);
  header = CMSG_FIRSTHDR(&message);
  CHECK(header != NULL && header->cmsg_type == SCM_CREDENTIALS &&
        ((struct ucred*)CMSG_DATA(header))->pid == getpid());
  close(pair[0]), close(pair[1]);
  // Sockets that hold themselves, or each other: the end of the pipe that they hold tells that they
  // have gone.
  for (int round = 0; round < 3; ++round) {
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(ends) == 0);
    CHECK(send_file(pair[0], (int[]){pair[1], ends[1]}, 2) == 1);
    CHECK(round == 0 || send_file(pair[1], (int[]){pair[0], ends[1]}, 2) == 1);
    close(pair[0]), close(pair[1]), close(ends[1]);
    close(socket(AF_UNIX, SOCK_STREAM, 0));
    struct pollfd entry = {ends[0], POLLIN, 0};
    CHECK(poll(&entry, 1, 1000) == 1 && entry.revents == POLLHUP);
    close(ends[0]);
  }
  // A long chain, one within another, ends without exhausting anything.
  int outer[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, outer) == 0);
  for (int length = 0; length < 400; ++length) {
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(send_file(pair[0], outer, 2) == 1);
    close(outer[0]), close(outer[1]);
    outer[0] = pair[0], outer[1] = pair[1];
  }
  close(outer[0]), close(outer[1]);
}

static void test_edges(void) {
  int pair[2], set = epoll_create1(0);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
  struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.fd = 1}}, got;
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &event) == 0);
  CHECK(epoll_wait(set, &got, 1, 0) == 1 && got.events == EPOLLOUT);
  CHECK(epoll_wait(set, &got, 1, 0) == 0);
  CHECK(write(pair[1], "ab", 2) == 2);
  CHECK(epoll_wait(set, &got, 1, 0) == 1 && got.events == (EPOLLIN | EPOLLOUT));
  CHECK(read(pair[0], buffer, 1) == 1 && epoll_wait(set, &got, 1, 0) == 0);
  close(pair[1]);
  CHECK(epoll_wait(set, &got, 1, 0) == 1 &&
        got.events == (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP));
  close(pair[0]), close(set);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  test_kinds();
  test_stream();
  test_connection();
  test_datagrams();
  test_files();
  test_edges();
  return finish();
}
