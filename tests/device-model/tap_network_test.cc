#include "device-model/network/tap_network.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "tests/device-model/guest_stack.h"
#include "vmm/file_descriptor.h"

namespace ensemble::device {
namespace {

// A tap interface that lasts as long as the test; needs the right to make one.
class TapNetworkTest : public testing::Test {
 protected:
  static constexpr char kName[] = "enstest0";

  ~TapNetworkTest() override {
    if (maker_) {
      ::ioctl(maker_.get(), TUNSETIFF, &request_);
      ::ioctl(maker_.get(), TUNSETPERSIST, 0);
    }
  }

  bool make() {
    vmm::FileDescriptor tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    std::strcpy(request_.ifr_name, kName);
    request_.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (!tun || ::ioctl(tun.get(), TUNSETIFF, &request_) != 0 ||
        ::ioctl(tun.get(), TUNSETPERSIST, 1) != 0) {
      return false;
    }
    // Closed, so that it is free; what ends it opens it again.
    tun = vmm::FileDescriptor(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    maker_ = std::move(tun);
    const vmm::FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq up = request_;
    up.ifr_mtu = 1400;
    const bool sized = ::ioctl(socket.get(), SIOCSIFMTU, &up) == 0;
    up.ifr_flags = IFF_UP;
    return sized && ::ioctl(socket.get(), SIOCSIFFLAGS, &up) == 0;
  }

  ifreq request_{};
  vmm::FileDescriptor maker_;
};

TEST_F(TapNetworkTest, SaysThatAnInterfaceIsMissing) {
  auto loop = vmm::EventLoop::create().value();
  for (const std::string name : {"nosuchtap", "", "a-name-that-is-longer-than-any"}) {
    const auto tap = TapNetwork::create(*loop, name);
    ASSERT_FALSE(tap);
    EXPECT_EQ(tap.error().message(), "there is no network interface '" + name +
                                         "'; `ip tuntap add " + name +
                                         " mode tap user NAME` makes one");
  }
}

TEST_F(TapNetworkTest, RefusesWhatIsNoTap) {
  if (::access("/dev/net/tun", R_OK | W_OK) != 0) {
    GTEST_SKIP() << "needs /dev/net/tun";
  }
  auto loop = vmm::EventLoop::create().value();
  const auto tap = TapNetwork::create(*loop, "lo");
  ASSERT_FALSE(tap);
  EXPECT_NE(tap.error().message().find("'lo', which must be a tap interface"), std::string::npos);
}

TEST_F(TapNetworkTest, CarriesFramesBothWays) {
  if (!make()) {
    GTEST_SKIP() << "needs the right to make a tap interface: " << std::strerror(errno);
  }
  GuestStack guest([](vmm::EventLoop& loop) { return TapNetwork::create(loop, kName).value(); });
  EXPECT_EQ(guest.harness().read(VirtioHarness::kConfiguration + 8) >> 16, 1400U);
  const vmm::FileDescriptor host(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(::if_nametoindex(kName));
  ASSERT_EQ(::bind(host.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);

  const std::string frame = GuestStack::ethernet(0x88B5, std::string(100, 'x'), true);
  ASSERT_EQ(::send(host.get(), frame.data(), frame.size(), 0), std::ssize(frame));
  EXPECT_EQ(guest.receive([&](const std::string& each) { return each == frame; }), frame);

  const std::string answer = GuestStack::ethernet(0x88B5, std::string(1400, 'y'), true);
  guest.send(answer);
  timeval limit{.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(host.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  std::string got;
  do {
    got.resize(2000);
    const ssize_t size = ::recv(host.get(), got.data(), got.size(), 0);
    ASSERT_GT(size, 0);
    got.resize(static_cast<std::size_t>(size));
  } while (got != answer);
}

}  // namespace
}  // namespace ensemble::device
