// Lets a hostile driver loose on a socket device, while programs of the host connect, send, read
// and go. Nothing may crash, hang, or reach outside guest memory, and connections stay within their
// number.

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "device-model/virtio/vsock_device.h"
#include "tests/fuzz/hostile_driver.h"

namespace ensemble::device {
namespace {

const std::string& path() {
  static const std::string chosen = [] {
    std::string folder = "/tmp/vsock-fuzz-XXXXXX";
    return std::string(::mkdtemp(folder.data())) + "/vsock";
  }();
  return chosen;
}

vmm::FileDescriptor host_socket() {
  return vmm::FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}
sockaddr_un address_of(const std::string& where) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  where.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

// What the guest finds at ports 0 and 1 of the host, and those who ask for ports of the guest.
class Host {
 public:
  Host() {
    for (int port = 0; port < 2; ++port) {
      const std::string where = path() + "_" + std::to_string(port);
      ::unlink(where.c_str());
      const sockaddr_un address = address_of(where);
      if (::bind(listeners_[port].get(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof address) != 0 ||
          ::listen(listeners_[port].get(), 4) != 0) {
        std::abort();
      }
    }
  }

  void step(FuzzInput& input) {
    const auto what = input.take<std::uint8_t>();
    vmm::FileDescriptor& peer = peers_[what % peers_.size()];
    switch ((what >> 2) % 6) {
      case 0:
        peer = vmm::FileDescriptor(::accept4(listeners_[input.take<std::uint8_t>() & 1].get(),
                                             nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        break;
      case 1: {
        peer = host_socket();
        const sockaddr_un address = address_of(path());
        const std::string line = "CONNECT " + std::to_string(input.take<std::uint8_t>() & 1) + "\n";
        if (::connect(peer.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
            0) {
          ::send(peer.get(), line.data(), line.size(), MSG_NOSIGNAL);
        }
        break;
      }
      case 2: {
        const auto bytes = input.take_bytes(input.take<std::uint8_t>());
        ::send(peer.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        break;
      }
      case 3:
        ::recv(peer.get(), room_.data(), room_.size(), 0);
        break;
      case 4:
        ::shutdown(peer.get(), SHUT_WR);
        break;
      case 5:
        peer = vmm::FileDescriptor();
        break;
    }
  }

 private:
  std::array<vmm::FileDescriptor, 2> listeners_{host_socket(), host_socket()};
  std::array<vmm::FileDescriptor, 4> peers_;
  std::vector<std::byte> room_ = std::vector<std::byte>(1 << 17);
};

// A packet that may be meant for a connection.
void send_packet(HostileDriver& driver, FuzzInput& input) {
  constexpr std::uint64_t kPlace = HostileDriver::kBuffers + 0x10000;
  const auto shape = input.take<std::uint8_t>();
  const auto size = input.take<std::uint16_t>();
  const VsockHeader header{
      .source_cid = VsockDevice::kGuestCid,
      .target_cid = VsockDevice::kHostCid,
      .source_port = shape & 1U,
      .target_port = (shape & 4) != 0 ? (1U << 30) + (shape >> 6) : (shape >> 1) & 1U,
      .size = (shape & 8) != 0 ? input.take<std::uint32_t>() : size,
      .type = kVsockStream,
      .operation = input.take<std::uint8_t>(),
      .flags = input.take<std::uint8_t>(),
      .buffer_size = input.take<std::uint32_t>(),
      .forwarded_count = input.take<std::uint16_t>()};
  driver.memory().store(kPlace, header).value();
  driver.queue(1).offer_chain({{kPlace, static_cast<std::uint32_t>(sizeof(header)) + size, false}});
  driver.notify(1);
}

void run(FuzzInput input) {
  Host host;
  HostileDriver driver(0);
  auto device = VsockDevice::create(driver.loop(), path()).value();
  const VsockDevice& vsock = *device;
  driver.attach(std::move(device));
  while (!input.empty()) {
    switch (input.take<std::uint8_t>() % 8) {
      case 0:
      case 1:
      case 2:
        send_packet(driver, input);
        break;
      case 3:
        driver.queue(0).offer_chain({{HostileDriver::kBuffers, 4096, true}});
        driver.notify(0);
        break;
      case 4:
      case 5:
        host.step(input);
        driver.run();
        break;
      default:
        driver.step(input);
        break;
    }
    if (vsock.connection_count() > VsockDevice::kMostConnections) {
      std::abort();
    }
  }
}

}  // namespace
}  // namespace ensemble::device

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ensemble::device::run(ensemble::device::FuzzInput(std::span(data, size)));
  return 0;
}
