#include "control/folder_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace ensemble::control {
namespace {

// The address of a socket in `folder` by way of an open descriptor, since a path of more than 107
// bytes does not fit into a socket's address.
sockaddr_un address_in(const vmm::FileDescriptor& folder, const char* name) {
  const std::string path = "/proc/self/fd/" + std::to_string(folder.get()) + "/" + name;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

// A new socket, and the directory that it is to have its other end in.
struct FolderSocket {
  vmm::FileDescriptor folder;
  vmm::FileDescriptor socket;
};

Result<FolderSocket> make_socket(const std::string& path) {
  vmm::FileDescriptor folder(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder) {
    return std::unexpected(Error::from_errno("cannot open the directory '" + path + "'", errno));
  }
  vmm::FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) {
    return std::unexpected(Error::from_errno("cannot make a socket", errno));
  }
  return FolderSocket{std::move(folder), std::move(socket)};
}

}  // namespace

Result<vmm::FileDescriptor> listen_in_folder(const std::string& folder, const char* name,
                                             int backlog) {
  auto made = make_socket(folder);
  if (!made) {
    return std::unexpected(made.error());
  }
  ::unlinkat(made->folder.get(), name, 0);
  const sockaddr_un address = address_in(made->folder, name);
  if (::bind(made->socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
          0 ||
      ::listen(made->socket.get(), backlog) != 0) {
    return std::unexpected(
        Error::from_errno("cannot listen on '" + folder + "/" + name + "'", errno));
  }
  return std::move(made->socket);
}

Result<vmm::FileDescriptor> connect_in_folder(const std::string& folder, const char* name) {
  auto made = make_socket(folder);
  if (!made) {
    return std::unexpected(made.error());
  }
  const sockaddr_un address = address_in(made->folder, name);
  ::fcntl(made->socket.get(), F_SETFL, O_NONBLOCK);
  if (::connect(made->socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
      0) {
    return std::unexpected(
        Error::from_errno("cannot connect to '" + folder + "/" + name + "'", errno));
  }
  ::fcntl(made->socket.get(), F_SETFL, 0);
  return std::move(made->socket);
}

}  // namespace ensemble::control
