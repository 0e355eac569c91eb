// Unix sockets: unix(7), socketpair(2), send(2), recv(2), cmsg(3).
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "contract.h"

static int pair[2];

static struct sockaddr_un address_of(const char* name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
  return address;
}

static int bound(int type, const char* name) {
  const int server = (int)MUST(socket(AF_UNIX, type, 0));
  const struct sockaddr_un address = address_of(name);
  MUST(bind(server, (const struct sockaddr*)&address, sizeof(address)));
  return server;
}

static int connect_to(int descriptor, const char* name) {
  const struct sockaddr_un address = address_of(name);
  return connect(descriptor, (const struct sockaddr*)&address, sizeof(address));
}

BEHAVIOUR(stream_has_no_borders) {
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  char text[16];
  SHOW(write(pair[0], "abc", 3));
  SHOW(write(pair[0], "def", 3));
  SHOW(read(pair[1], text, 4));
  SHOW(read(pair[1], text, 16));
  SHOW(write(pair[1], "back", 4));
  SHOW(read(pair[0], text, 16));
}

// A datagram is read as a whole; what does not fit is lost, and MSG_TRUNC tells.
BEHAVIOUR(datagrams_have_borders) {
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  char text[16];
  SHOW(send(pair[0], "abcdef", 6, 0));
  SHOW(send(pair[0], "", 0, 0));
  SHOW(send(pair[0], "xyz", 3, 0));
  SHOW(recv(pair[1], text, 4, MSG_TRUNC));
  SHOW(recv(pair[1], text, 16, 0));
  SHOW(recv(pair[1], text, 16, MSG_PEEK));
  SHOW(recv(pair[1], text, 16, 0));
  SHOW(recv(pair[1], text, 16, MSG_DONTWAIT));
}

BEHAVIOUR(packets_in_sequence) {
  MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
  char text[16];
  SHOW(send(pair[0], "one", 3, 0));
  SHOW(send(pair[0], "three", 5, 0));
  SHOW(recv(pair[1], text, 2, 0));
  SHOW(recv(pair[1], text, 16, 0));
  close(pair[0]);
  SHOW(recv(pair[1], text, 16, 0));
}

BEHAVIOUR(pair_errors) {
  SHOW(socketpair(AF_INET, SOCK_STREAM, 0, pair));
  SHOW(socketpair(AF_UNIX, 99, 0, pair));
  SHOW(socketpair(AF_UNIX, SOCK_STREAM, 99, pair));
  SHOW(socket(99, SOCK_STREAM, 0));
  SHOW(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
  SHOW(fcntl(pair[0], F_GETFD));
  FACT((fcntl(pair[0], F_GETFL) & O_NONBLOCK) != 0);
  char byte;
  SHOW(read(pair[0], &byte, 1));
  SHOW(recv(make_file("file", ""), &byte, 1, 0));
  SHOW(recv(99, &byte, 1, 0));
}

BEHAVIOUR(peer_gone) {
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  char text[8];
  on_signal(SIGPIPE, count_signal, 0);
  MUST(write(pair[0], "rest", 4));
  close(pair[0]);
  SHOW(read(pair[1], text, 8));
  SHOW(read(pair[1], text, 8));
  SHOW(write(pair[1], "x", 1));
  SHOW(send(pair[1], "x", 1, MSG_NOSIGNAL));
  say("SIGPIPE %d times", (int)signal_count);
}

BEHAVIOUR(half_closed) {
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  char text[8];
  on_signal(SIGPIPE, SIG_IGN, 0);
  SHOW(shutdown(pair[0], SHUT_WR));
  SHOW(write(pair[0], "x", 1));
  SHOW(read(pair[1], text, 8));
  SHOW(write(pair[1], "still", 5));
  SHOW(read(pair[0], text, 8));
  SHOW(shutdown(pair[0], 9));
  SHOW(shutdown(pair[1], SHUT_RD));
  SHOW(shutdown(make_file("file", ""), SHUT_RD));
}

BEHAVIOUR(connect_and_accept) {
  const int server = bound(SOCK_STREAM, "socket");
  say_stat("socket");
  const int client = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  SHOW(connect_to(client, "socket"));
  SHOW(listen(server, 2));
  SHOW(connect_to(client, "socket"));
  SHOW(connect_to(client, "socket"));
  const int accepted = (int)DOES(accept4(server, NULL, NULL, SOCK_CLOEXEC));
  SHOW(fcntl(accepted, F_GETFD));
  char text[8];
  SHOW(write(client, "hello", 5));
  SHOW(read(accepted, text, 8));
  SHOW(accept(client, NULL, NULL));
}

BEHAVIOUR(binding_errors) {
  const int server = bound(SOCK_STREAM, "socket");
  const struct sockaddr_un address = address_of("socket");
  const struct sockaddr_un other = address_of("other");
  const int second = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  SHOW(bind(second, (const struct sockaddr*)&address, sizeof(address)));
  SHOW(bind(server, (const struct sockaddr*)&other, sizeof(other)));
  SHOW(connect_to(second, "missing"));
  close(make_file("file", ""));
  SHOW(connect_to(second, "file"));
  SHOW(connect_to((int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), "socket"));
  close(server);
  SHOW(connect_to(second, "socket"));
  SHOW(bind(second, (const struct sockaddr*)&other, 1));
}

// Names in the abstract space need no file and end with their socket.
BEHAVIOUR(abstract_names) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const socklen_t size =
      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                  (size_t)snprintf(address.sun_path + 1, 60, "contract-%d", (int)getpid()));
  const int server = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  SHOW(bind(server, (const struct sockaddr*)&address, size));
  MUST(listen(server, 1));
  const int client = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  SHOW(connect(client, (const struct sockaddr*)&address, size));
  close(server);
  const int late = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  SHOW(connect(late, (const struct sockaddr*)&address, size));
}

BEHAVIOUR(names_of_sockets) {
  struct sockaddr_un address;
  socklen_t size = sizeof(address);
  const int server = bound(SOCK_STREAM, "socket");
  MUST(listen(server, 1));
  SHOW(getsockname(server, (struct sockaddr*)&address, &size));
  say("%d %s", (int)size, address.sun_path);
  const int client = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  MUST(connect_to(client, "socket"));
  size = sizeof(address);
  SHOW(getpeername(client, (struct sockaddr*)&address, &size));
  say("%d %s", (int)size, address.sun_path);
  size = sizeof(address);
  SHOW(getsockname(client, (struct sockaddr*)&address, &size));
  say("%d", (int)size);
  SHOW(getpeername(server, (struct sockaddr*)&address, &size));
}

BEHAVIOUR(datagrams_by_name) {
  const int server = bound(SOCK_DGRAM, "server");
  const int client = bound(SOCK_DGRAM, "client");
  struct sockaddr_un address = address_of("server");
  SHOW(sendto(client, "hello", 5, 0, (struct sockaddr*)&address, sizeof(address)));
  char text[16];
  socklen_t size = sizeof(address);
  SHOW(recvfrom(server, text, 16, 0, (struct sockaddr*)&address, &size));
  say("from %s", address.sun_path);
  SHOW(send(client, "x", 1, 0));
  SHOW(connect_to(client, "server"));
  SHOW(send(client, "x", 1, 0));
  close(server);
  SHOW(send(client, "x", 1, 0));
}

// Sends `count` descriptors with one byte.
static long send_descriptors(int socket, const int* descriptors, size_t count) {
  char control[CMSG_SPACE(sizeof(int) * 8)] = {0};
  struct iovec data = {(char[]){'d'}, 1};
  struct msghdr message = {.msg_iov = &data,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = CMSG_SPACE(sizeof(int) * count)};
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int) * count);
  memcpy(CMSG_DATA(header), descriptors, sizeof(int) * count);
  return sendmsg(socket, &message, 0);
}

static int receive_descriptor(int socket, int flags) {
  char control[CMSG_SPACE(sizeof(int))];
  char byte;
  struct iovec data = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
  SHOW(recvmsg(socket, &message, flags));
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    say("control data was cut");
  }
  if (header == NULL || header->cmsg_type != SCM_RIGHTS) {
    say("no descriptor came");
    return -1;
  }
  int descriptor;
  memcpy(&descriptor, CMSG_DATA(header), sizeof(descriptor));
  return descriptor;
}

BEHAVIOUR(passing_descriptors) {
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  const int file = make_file("file", "shared");
  MUST(lseek(file, 3, SEEK_SET));
  SHOW(send_descriptors(pair[0], &file, 1));
  close(file);
  MUST(unlink("file"));
  const pid_t child = start_child();
  if (child == 0) {
    const int received = receive_descriptor(pair[1], MSG_CMSG_CLOEXEC);
    char text[8];
    SHOW(read(received, text, 8));
    SHOW(fcntl(received, F_GETFD));
    _exit(0);
  }
  say_end("child", child);
  const int bad = 99;
  SHOW(send_descriptors(pair[0], &bad, 1));
}

// A descriptor in flight stays open; one for which there is no room is closed.
BEHAVIOUR(descriptors_in_flight) {
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  int ends[2];
  MUST(pipe(ends));
  SHOW(send_descriptors(pair[0], &ends[1], 1));
  close(ends[1]);
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  char byte;
  SHOW(read(ends[0], &byte, 1));
  SHOW(read(pair[1], &byte, 1));
  SHOW(read(ends[0], &byte, 1));
  MUST(pipe(ends));
  SHOW(send_descriptors(pair[0], ends, 2));
  const int first = receive_descriptor(pair[1], 0);
  FACT(first >= 0);
}

BEHAVIOUR(credentials) {
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  const int on = 1;
  SHOW(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
  const pid_t child = start_child();
  if (child == 0) {
    MUST(setresuid(1000, 1000, 1000));
    MUST(write(pair[0], "x", 1));
    _exit(0);
  }
  char control[CMSG_SPACE(sizeof(struct ucred))];
  char byte;
  struct iovec data = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
  SHOW(recvmsg(pair[1], &message, 0));
  struct ucred* from = (struct ucred*)CMSG_DATA(CMSG_FIRSTHDR(&message));
  FACT(from->pid == child);
  say("uid %d gid %d", (int)from->uid, (int)from->gid);
  wait_for(child);
  struct ucred peer;
  socklen_t size = sizeof(peer);
  SHOW(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &size));
  FACT(peer.pid == getpid());
}

BEHAVIOUR(options) {
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  int value = 0;
  socklen_t size = sizeof(value);
  SHOW(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &value, &size));
  say("type %d", value);
  SHOW(getsockopt(pair[0], SOL_SOCKET, SO_ERROR, &value, &size));
  SHOW(getsockopt(pair[0], SOL_SOCKET, SO_ACCEPTCONN, &value, &size));
  SHOW(getsockopt(pair[0], SOL_SOCKET, SO_DOMAIN, &value, &size));
  say("domain %d", value);
  SHOW(getsockopt(pair[0], SOL_SOCKET, 9999, &value, &size));
  SHOW(getsockopt(pair[0], 9999, SO_TYPE, &value, &size));
  value = 1;
  SHOW(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &value, 1));
}

// SO_RCVTIMEO makes a read end with EAGAIN.
BEHAVIOUR(receive_timeout) {
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  const struct timeval brief = {0, 20000};
  SHOW(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof(brief)));
  char byte;
  const long start = now_ms();
  SHOW(read(pair[0], &byte, 1));
  FACT(now_ms() - start >= 19);
}

BEHAVIOUR(wait_for_all) {
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  const pid_t child = start_child();
  if (child == 0) {
    for (int i = 0; i < 5; ++i) {
      MUST(write(pair[0], "ab", 2));
      sleep_ms(5);
    }
    _exit(0);
  }
  char text[10];
  SHOW(recv(pair[1], text, 10, MSG_WAITALL));
  wait_for(child);
}

BEHAVIOUR(poll_states) {
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  struct pollfd ready = {pair[1], POLLIN | POLLOUT | POLLRDHUP, 0};
  SHOW(poll(&ready, 1, 0));
  say("%x", ready.revents);
  MUST(write(pair[0], "x", 1));
  SHOW(poll(&ready, 1, 0));
  say("%x", ready.revents);
  MUST(shutdown(pair[0], SHUT_WR));
  SHOW(poll(&ready, 1, 0));
  say("%x", ready.revents);
  close(pair[0]);
  SHOW(poll(&ready, 1, 0));
  say("%x", ready.revents);
}

BEHAVIOUR(full_buffer) {
  MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
  static char block[4096];
  long total = 0;
  for (ssize_t size; (size = write(pair[0], block, sizeof(block))) > 0; total += size) {
  }
  say("%s", error_name(errno));
  FACT(total >= 65536);
  long back = 0;
  for (ssize_t size; (size = read(pair[1], block, sizeof(block))) > 0; back += size) {
  }
  FACT(back == total);
}

BEHAVIOUR(scattered_messages) {
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  struct iovec parts[] = {{(char[]){'a', 'b'}, 2}, {(char[]){'c'}, 1}};
  struct mmsghdr many[2] = {{.msg_hdr = {.msg_iov = parts, .msg_iovlen = 2}},
                            {.msg_hdr = {.msg_iov = parts, .msg_iovlen = 1}}};
  SHOW(sendmmsg(pair[0], many, 2, 0));
  char text[8];
  SHOW(recv(pair[1], text, 8, 0));
  SHOW(recv(pair[1], text, 8, 0));
  say_bytes("text", text, 2);
}
