#include "device-model/network/user_network.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <random>
#include <string>
#include <thread>

#include "tests/device-model/guest_stack.h"
#include "vmm/file_descriptor.h"

namespace ensemble::device {
namespace {

// A guest on a user-mode network.
class UserNetworkTest : public testing::Test {
 protected:
  UserNetworkTest() { ::signal(SIGPIPE, SIG_IGN); }

  // A TCP server on the host's 127.0.0.1, not yet accepting.
  std::uint16_t listen() {
    listener_ = vmm::FileDescriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 1), 0);
    socklen_t size = sizeof address;
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
  }

  void connect(std::uint16_t port) {
    guest_.send_tcp(port, TH_SYN);
    const auto answer = guest_.take_tcp(port);
    ASSERT_EQ(answer.header.th_flags & (TH_SYN | TH_ACK | TH_RST), TH_SYN | TH_ACK);
  }

  GuestStack guest_{[](vmm::EventLoop& loop) { return UserNetwork::create(loop).value(); }};
  vmm::FileDescriptor listener_;
};

TEST_F(UserNetworkTest, AnswersForItsGateway) {
  guest_.send(GuestStack::arp(1, GuestStack::kAddress, GuestStack::kGateway));
  const std::string answer = guest_.receive(
      [](const std::string& frame) { return frame.substr(12, 2) == "\x08\x06" && frame[21] == 2; });
  ASSERT_FALSE(answer.empty());
  EXPECT_EQ(answer.substr(28, 4), std::string("\x0A\0\2\2", 4));
}

// A request for an address (RFC 2131).
std::string dhcp_discover() {
  std::string discover(300, '\0');
  discover.replace(0, 8, "\1\1\6\0\x12\x34\x56\x78", 8);
  discover.replace(28, 6, reinterpret_cast<const char*>(GuestStack::kMac.data()), 6);
  discover.replace(236, 8, "\x63\x82\x53\x63\x35\1\1\xFF", 8);
  return GuestStack::udp(0, 68, INADDR_BROADCAST, 67, discover);
}

bool is_dhcp_answer(const std::string& frame) {
  return frame.size() > 300 && frame.substr(36, 2) == std::string("\0\x44", 2);
}

TEST_F(UserNetworkTest, GivesAnAddressByDhcp) {
  guest_.send(dhcp_discover());
  const std::string answer = guest_.receive(is_dhcp_answer);
  ASSERT_FALSE(answer.empty());
  const std::string offer = answer.substr(42);
  EXPECT_EQ(offer.substr(4, 4), "\x12\x34\x56\x78");
  EXPECT_EQ(offer.substr(16, 4), std::string("\x0A\0\2\x0F", 4));
}

// Parts of packets are not kept until the rest comes: there is no bound to what they would take.
TEST_F(UserNetworkTest, TakesNoPacketsInParts) {
  const auto [first, second] = GuestStack::in_parts(dhcp_discover(), 64);
  guest_.send(first);
  guest_.send(second);
  guest_.send(GuestStack::arp(1, GuestStack::kAddress, GuestStack::kGateway));
  const std::string answer = guest_.receive([](const std::string& frame) {
    return is_dhcp_answer(frame) || (frame.substr(12, 2) == "\x08\x06" && frame[21] == 2);
  });
  ASSERT_FALSE(answer.empty());
  EXPECT_FALSE(is_dhcp_answer(answer));
}

TEST_F(UserNetworkTest, CarriesAConnectionToTheHost) {
  constexpr std::size_t kSize = 4 << 20;
  const std::uint16_t port = listen();
  std::string content(kSize, '\0');
  std::mt19937 random(7);
  std::ranges::generate(content, [&] { return static_cast<char>(random()); });
  std::string asked;
  std::thread server([&] {
    const vmm::FileDescriptor connection(::accept(listener_.get(), nullptr, nullptr));
    char question[16] = {};
    const ssize_t size = ::read(connection.get(), question, sizeof question);
    asked.assign(question, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    for (std::size_t sent = 0; sent < content.size();) {
      const ssize_t some = ::write(connection.get(), content.data() + sent, content.size() - sent);
      if (some <= 0) {
        break;
      }
      sent += static_cast<std::size_t>(some);
    }
  });
  connect(port);
  guest_.send_tcp(port, TH_ACK | TH_PUSH, "question");
  std::string got;
  bool ended = false;
  while (!ended && !HasFailure()) {
    const auto segment = guest_.take_tcp(port);
    got += segment.data;
    ended = (segment.header.th_flags & (TH_FIN | TH_RST)) != 0;
  }
  // Wakes who still accepts.
  ::shutdown(listener_.get(), SHUT_RDWR);
  server.join();
  EXPECT_EQ(asked, "question");
  EXPECT_EQ(got.size(), kSize);
  EXPECT_TRUE(got == content);
}

TEST_F(UserNetworkTest, RefusesWhereNobodyListens) {
  const std::uint16_t port = listen();
  listener_ = {};
  guest_.send_tcp(port, TH_SYN);
  EXPECT_NE(guest_.take_tcp(port).header.th_flags & TH_RST, 0);
}

TEST_F(UserNetworkTest, IsIdleWithoutConnections) {
  guest_.send(GuestStack::arp(1, GuestStack::kAddress, GuestStack::kGateway));
  guest_.harness().run();
  EXPECT_EQ(guest_.harness().loop().run_once(std::chrono::milliseconds(1500)).value(), 0);
}

// Without a device: nobody takes the frames.
TEST(UserNetwork, LetsTheHostWaitWhileTheGuestTakesNothing) {
  const auto loop = vmm::EventLoop::create().value();
  const auto network = UserNetwork::create(*loop).value();
  const auto send = [&](const std::string& frame) {
    network->send(std::as_bytes(std::span(frame)));
    network->flush();
  };
  const auto take = [&] {
    std::string frame(NetworkBackend::kLargestHeader + network->mtu(), '\0');
    frame.resize(network->receive(std::as_writable_bytes(std::span(frame))));
    return frame;
  };
  const auto run = [&] {
    while (loop->run_once(std::chrono::milliseconds(0)).value() > 0) {
    }
  };
  send(GuestStack::arp(1, GuestStack::kAddress, GuestStack::kGateway));
  EXPECT_FALSE(take().empty());

  const vmm::FileDescriptor host(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(host.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ::getsockname(host.get(), reinterpret_cast<sockaddr*>(&address), &size);
  send(GuestStack::udp(GuestStack::kAddress, 5000, GuestStack::kGateway, ntohs(address.sin_port),
                       "hello"));
  char hello[8] = {};
  sockaddr_in guest{};
  size = sizeof guest;
  ASSERT_EQ(
      ::recvfrom(host.get(), hello, sizeof hello, 0, reinterpret_cast<sockaddr*>(&guest), &size),
      5);
  const auto answer = [&](const std::string& text) {
    ::sendto(host.get(), text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&guest), size);
    run();
  };
  for (int i = 0; i < 4000; ++i) {
    answer(std::string(1400, 'x'));
  }
  std::size_t waiting = 0;
  for (std::string frame = take(); !frame.empty(); frame = take()) {
    waiting += frame.size();
  }
  EXPECT_GT(waiting, UserNetwork::kMostQueuedBytes / 2);
  EXPECT_LE(waiting, UserNetwork::kMostQueuedBytes);
  // Some lie in the socket's buffer still, so that a few may be lost.
  bool arrived = false;
  for (int i = 0; i < 1000 && !arrived; ++i) {
    answer("again");
    for (std::string frame = take(); !frame.empty(); frame = take()) {
      arrived = arrived || frame.find("again") != std::string::npos;
    }
  }
  EXPECT_TRUE(arrived);
}

TEST_F(UserNetworkTest, SurvivesFramesThatMakeNoSense) {
  std::mt19937 random(42);
  const std::string good[] = {
      GuestStack::arp(1, GuestStack::kAddress, GuestStack::kGateway),
      GuestStack::udp(GuestStack::kAddress, 1, GuestStack::kGateway, 9, std::string(100, 'x')),
      GuestStack::ip(IPPROTO_TCP, GuestStack::kAddress, GuestStack::kGateway,
                     std::string(40, '\2')),
      GuestStack::ip(IPPROTO_ICMP, GuestStack::kAddress, GuestStack::kGateway, std::string(8, 8))};
  for (int i = 0; i < 5000; ++i) {
    std::string frame = good[random() % std::size(good)];
    for (unsigned changes = random() % 4; changes > 0; --changes) {
      frame[12 + random() % (frame.size() - 12)] = static_cast<char>(random());
    }
    frame.resize(std::max<std::size_t>(14, frame.size() - random() % 20));
    guest_.send(frame);
    while (guest_.next_frame()) {
    }
  }
  EXPECT_FALSE(guest_.harness().needs_reset());
}

}  // namespace
}  // namespace ensemble::device
