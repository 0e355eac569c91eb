#include "device-model/network/tap_network.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace ensemble::device {
namespace {

constexpr int kSmallestMtu = 68;
constexpr int kLargestMtu = 65535;

ifreq request_for(const std::string& name) {
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), std::min(name.size(), sizeof(request.ifr_name) - 1));
  return request;
}

Result<std::uint16_t> mtu_of(const std::string& name) {
  const vmm::FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = request_for(name);
  if (!socket || ::ioctl(socket.get(), SIOCGIFMTU, &request) != 0) {
    return std::unexpected(
        Error::from_errno(fmt::format("cannot ask the interface '{}' for its MTU", name), errno));
  }
  return static_cast<std::uint16_t>(std::clamp(request.ifr_mtu, kSmallestMtu, kLargestMtu));
}

}  // namespace

Result<std::unique_ptr<TapNetwork>> TapNetwork::create(vmm::EventLoop& loop,
                                                       const std::string& name) {
  // To open one that is not there makes it, for root, and for as long as this process lives.
  if (name.empty() || name.size() > kLongestName || ::if_nametoindex(name.c_str()) == 0) {
    return fail(
        "there is no network interface '{}'; `ip tuntap add {} mode tap user NAME` makes one", name,
        name);
  }
  vmm::FileDescriptor tap(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!tap) {
    return std::unexpected(Error::from_errno("cannot open '/dev/net/tun'", errno));
  }
  ifreq request = request_for(name);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (::ioctl(tap.get(), TUNSETIFF, &request) != 0) {
    const int error = errno;
    return std::unexpected(Error::from_errno(
        fmt::format("cannot use the network interface '{}', which must be a tap interface that "
                    "belongs to this user and that nobody uses",
                    name),
        error));
  }
  // An interface keeps what its last user could take.
  if (::ioctl(tap.get(), TUNSETOFFLOAD, 0) != 0) {
    return std::unexpected(
        Error::from_errno(fmt::format("cannot switch off offloads of '{}'", name), errno));
  }
  const auto mtu = mtu_of(name);
  if (!mtu) {
    return std::unexpected(mtu.error());
  }
  return std::unique_ptr<TapNetwork>(new TapNetwork(loop, std::move(tap), *mtu));
}

void TapNetwork::set_readable_handler(std::function<void()> readable) {
  readable_ = std::move(readable);
}

// The interface may be down or full: the frame is lost then.
void TapNetwork::send(std::span<const std::byte> frame) {
  [[maybe_unused]] const ssize_t sent = ::write(tap_.get(), frame.data(), frame.size());
}

std::size_t TapNetwork::receive(std::span<std::byte> buffer) {
  ssize_t size = 0;
  do {
    size = ::read(tap_.get(), buffer.data(), buffer.size());
  } while (size < 0 && errno == EINTR);
  if (size > 0) {
    return static_cast<std::size_t>(size);
  }
  if (size < 0 && errno == EAGAIN) {
    wait_for_frame();
  }
  // Another failure is the end: the interface was deleted.
  return 0;
}

// Once: nothing is watched while the guest has no room for frames.
void TapNetwork::wait_for_frame() {
  auto watch = loop_.watch(tap_.get(), EPOLLIN, [this](std::uint32_t) {
    watch_ = {};
    if (readable_) {
      readable_();
    }
  });
  if (watch) {
    watch_ = *std::move(watch);
  }
}

}  // namespace ensemble::device
