#include "guest-kernel/linux/server/ipc/socket_control.h"

#include <algorithm>
#include <array>

#include "guest-kernel/linux/server/ipc/socket_file.h"
#include "guest-kernel/linux/server/process.h"

namespace linux_server {
namespace {

// struct cmsghdr
struct ControlHeader {
  std::uint64_t size;
  std::int32_t level;
  std::int32_t type;
};
constexpr std::int32_t kSocketLevel = 1;          // SOL_SOCKET
constexpr std::int32_t kRights = 1;               // SCM_RIGHTS
constexpr std::int32_t kCredentials = 2;          // SCM_CREDENTIALS
constexpr std::uint64_t kLargestControl = 20480;  // net.core.optmem_max

constexpr std::uint64_t align(std::uint64_t size) {
  return (size + 7) & ~std::uint64_t{7};
}

Result<void> read_rights(Task& task, std::uint64_t address, std::uint64_t size,
                         AttachedFiles& files) {
  std::array<std::int32_t, AttachedFiles::kMaximum> numbers;
  const std::uint64_t count = size / sizeof(std::int32_t);
  if (count + files.size() > AttachedFiles::kMaximum) {
    return fail(EINVAL);
  }
  const auto wanted = std::span(numbers).first(count);
  if (const auto read = task.process->space().read(address, std::as_writable_bytes(wanted));
      !read) {
    return read;
  }
  for (const std::int32_t number : wanted) {
    const Reference<File> file =
        task.process->descriptors().find(static_cast<std::uint32_t>(number));
    if (!file) {
      return fail(EBADF);
    }
    if (!files.add(*file)) {
      return fail(ENOMEM);
    }
  }
  constexpr std::uint32_t kMaximumInFlight = 4096;
  if (sockets_in_flight() > kMaximumInFlight) {
    collect_lost_sockets();
  }
  return sockets_in_flight() > kMaximumInFlight ? Result<void>(fail(ETOOMANYREFS)) : Result<void>();
}

// Only who has the right to may speak for others (unix(7)).
bool may_claim(const Process& process, const SocketCredentials& claimed) {
  const Credentials& own = process.credentials;
  const bool user = claimed.user == own.real_user || claimed.user == own.effective_user ||
                    claimed.user == own.saved_user || own.has(Capability::kSetUser);
  const bool group = claimed.group == own.real_group || claimed.group == own.effective_group ||
                     claimed.group == own.saved_group || own.has(Capability::kSetGroup);
  return user && group && (claimed.process == process.id() || own.has(Capability::kAdministrate));
}

}  // namespace

Result<void> read_control(Task& task, std::uint64_t address, std::uint64_t size,
                          AttachedFiles& files, SocketCredentials& credentials) {
  AddressSpace& space = task.process->space();
  if (size > kLargestControl) {
    return fail(ENOBUFS);
  }
  std::uint64_t offset = 0;
  while (size - offset >= sizeof(ControlHeader)) {
    const auto header = space.read_value<ControlHeader>(address + offset);
    if (!header) {
      return fail(EFAULT);
    }
    if (header->size < sizeof(ControlHeader) || header->size > size - offset) {
      return fail(EINVAL);
    }
    const std::uint64_t data = address + offset + sizeof(ControlHeader);
    const std::uint64_t length = header->size - sizeof(ControlHeader);
    if (header->level == kSocketLevel && header->type == kRights) {
      if (const auto read = read_rights(task, data, length, files); !read) {
        return read;
      }
    } else if (header->level == kSocketLevel && header->type == kCredentials) {
      if (length != sizeof(SocketCredentials)) {
        return fail(EINVAL);
      }
      const auto given = space.read_value<SocketCredentials>(data);
      if (!given) {
        return fail(EFAULT);
      }
      if (!may_claim(*task.process, *given)) {
        return fail(EPERM);
      }
      credentials = *given;
    } else if (header->level == kSocketLevel) {
      return fail(EINVAL);
    }
    offset = std::min(size, offset + align(header->size));
  }
  return {};
}

ControlResult write_control(Task& task, std::uint64_t address, std::uint64_t size,
                            const ReceiveRequest& request, bool with_credentials,
                            bool close_on_exec) {
  ControlResult result;
  AddressSpace& space = task.process->space();
  if (with_credentials && request.has_sender) {
    struct {
      ControlHeader header;
      SocketCredentials credentials;
    } message = {{sizeof(ControlHeader) + sizeof(SocketCredentials), kSocketLevel, kCredentials},
                 request.credentials};
    if (size < message.header.size ||
        !space.write(address, std::as_bytes(std::span(&message, 1)).first(message.header.size))) {
      result.is_cut = true;
    } else {
      result.size = std::min(size, align(message.header.size));
    }
  }
  if (request.files.size() == 0) {
    return result;
  }
  const std::uint64_t room = size - result.size;
  const std::uint64_t most =
      room < sizeof(ControlHeader) ? 0 : (room - sizeof(ControlHeader)) / sizeof(std::int32_t);
  const std::uint64_t start = address + result.size;
  std::uint64_t count = 0;
  while (count < std::min<std::uint64_t>(most, request.files.size())) {
    const std::int64_t number =
        task.process->descriptors().add(Reference<File>(&request.files[count]), close_on_exec);
    if (number < 0) {
      break;
    }
    if (!space.write_value(start + sizeof(ControlHeader) + count * sizeof(std::int32_t),
                           static_cast<std::int32_t>(number))) {
      task.process->descriptors().close(static_cast<std::uint64_t>(number));
      break;
    }
    ++count;
  }
  result.is_cut = result.is_cut || count < request.files.size();
  const std::uint64_t used = sizeof(ControlHeader) + count * sizeof(std::int32_t);
  if (count != 0 && space.write_value(start, ControlHeader{used, kSocketLevel, kRights})) {
    result.size += std::min(room, align(used));
  }
  return result;
}

}  // namespace linux_server
