#include "guest-kernel/linux/server/ipc/socket_name.h"

#include <algorithm>

#include "guest-kernel/linux/server/process.h"

namespace linux_server {
namespace {

constinit SocketName* first_name = nullptr;

}  // namespace

std::string_view NamedAddress::name() const {
  const std::string_view all(address.path.data(), is_empty() ? 0 : size - UnixAddress::kPathOffset);
  return is_abstract() ? all : all.substr(0, all.find('\0'));
}

SocketName::SocketName(const NamedAddress& address, UnixSocket& owner, Node* node)
    : address_(address), owner_(&owner), node_(Reference<Node>(node)), next_(first_name) {
  if (next_ != nullptr) {
    next_->previous_ = this;
  }
  first_name = this;
}

void SocketName::forget_owner() {
  if (owner_ == nullptr) {
    return;
  }
  owner_ = nullptr;
  (previous_ != nullptr ? previous_->next_ : first_name) = next_;
  if (next_ != nullptr) {
    next_->previous_ = previous_;
  }
}

UnixSocket* SocketName::find_abstract(std::string_view name) {
  for (const SocketName* each = first_name; each != nullptr; each = each->next_) {
    if (each->address_.is_abstract() && each->address_.name() == name) {
      return each->owner_;
    }
  }
  return nullptr;
}

UnixSocket* SocketName::find(const Node& node) {
  for (const SocketName* each = first_name; each != nullptr; each = each->next_) {
    if (each->node_.get() == &node) {
      return each->owner_;
    }
  }
  return nullptr;
}

Result<NamedAddress> read_address(Task& task, std::uint64_t address, std::uint64_t size) {
  const auto length = static_cast<std::int32_t>(size);
  constexpr std::int32_t kLargest = 128;  // sizeof(struct sockaddr_storage)
  if (length < 0 || length > kLargest) {
    return fail(EINVAL);
  }
  NamedAddress result;
  std::array<std::byte, kLargest> bytes = {};
  const auto count = static_cast<std::size_t>(length);
  if (const auto read = task.process->space().read(address, std::span(bytes).first(count)); !read) {
    return std::unexpected(read.error());
  }
  if (count < UnixAddress::kPathOffset || count > sizeof(UnixAddress)) {
    return fail(EINVAL);
  }
  std::copy_n(bytes.data(), count, reinterpret_cast<std::byte*>(&result.address));
  result.size = static_cast<std::uint32_t>(count);
  return result;
}

Result<void> write_address(Task& task, const SocketName* name, std::uint64_t address,
                           std::uint64_t size_address) {
  AddressSpace& space = task.process->space();
  const auto room = space.read_value<std::int32_t>(size_address);
  if (!room) {
    return fail(EFAULT);
  }
  if (*room < 0) {
    return fail(EINVAL);
  }
  const NamedAddress none;
  const NamedAddress& given = name != nullptr ? name->address() : none;
  const std::size_t count = std::min<std::size_t>(static_cast<std::size_t>(*room), given.size);
  if (!space.write(address, std::as_bytes(std::span(&given.address, 1)).first(count)) ||
      !space.write_value(size_address, given.size)) {
    return fail(EFAULT);
  }
  return {};
}

Result<UnixSocket*> find_socket(Task& task, const NamedAddress& address) {
  if (address.address.family != UnixAddress::kUnix || address.is_empty()) {
    return fail(EINVAL);
  }
  UnixSocket* found = nullptr;
  if (address.is_abstract()) {
    found = SocketName::find_abstract(address.name());
  } else {
    const auto node = find_socket_node(task, address.name());
    if (!node) {
      return std::unexpected(node.error());
    }
    found = SocketName::find(**node);
  }
  return found != nullptr ? Result<UnixSocket*>(found) : fail(ECONNREFUSED);
}

}  // namespace linux_server
