#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "guest-kernel/linux/server/node.h"
#include "guest-kernel/linux/server/reference.h"
#include "guest-kernel/linux/server/result.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

class UnixSocket;

// struct sockaddr_un
struct UnixAddress {
  static constexpr std::size_t kPathSize = 108;
  static constexpr std::size_t kPathOffset = 2;
  static constexpr std::uint16_t kUnix = 1;  // AF_UNIX

  std::uint16_t family = kUnix;
  std::array<char, kPathSize> path = {};
};
static_assert(sizeof(UnixAddress) == 110);

// An address as a call names it.
struct NamedAddress {
  UnixAddress address;
  std::uint32_t size = UnixAddress::kPathOffset;  // of the whole; kPathOffset: no name

  bool is_empty() const { return size <= UnixAddress::kPathOffset; }
  bool is_abstract() const { return !is_empty() && address.path[0] == '\0'; }
  // Abstract: with its first NUL. Else up to the first NUL.
  std::string_view name() const;
};

// The name that a socket is bound to, shared with those that it has accepted.
class SocketName : public Counted {
 public:
  SocketName(const NamedAddress& address, UnixSocket& owner, Node* node);
  ~SocketName() override { forget_owner(); }

  const NamedAddress& address() const { return address_; }
  const UnixSocket* owner() const { return owner_; }
  // Its socket has closed: the name leads nowhere.
  void forget_owner();

  // The socket that is bound to an abstract name, or to a node; null: none.
  static UnixSocket* find_abstract(std::string_view name);
  static UnixSocket* find(const Node& node);

 private:
  NamedAddress address_;
  UnixSocket* owner_;
  Reference<Node> node_;
  SocketName* next_ = nullptr;
  SocketName* previous_ = nullptr;
};

// Reads a call's address: EINVAL, EFAULT. `family` gets what it says, for those who take AF_UNSPEC.
Result<NamedAddress> read_address(Task& task, std::uint64_t address, std::uint64_t size);
// Gives it to a program, which has room for the size that the word at `size_address` says. EFAULT,
// EINVAL. `name` may be null.
Result<void> write_address(Task& task, const SocketName* name, std::uint64_t address,
                           std::uint64_t size_address);

// The socket that `address` leads to: ECONNREFUSED, ENOENT and what a path's look-up fails with.
Result<UnixSocket*> find_socket(Task& task, const NamedAddress& address);
// Makes the node of a socket that is bound to a path: EADDRINUSE and as mknod(2).
Result<Reference<Node>> make_socket_node(Task& task, std::string_view path);
Result<Reference<Node>> find_socket_node(Task& task, std::string_view path);

}  // namespace linux_server
