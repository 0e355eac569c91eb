#include "device-model/virtio/vsock_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "tests/device-model/temporary_folder.h"
#include "tests/device-model/virtio_harness.h"
#include "vmm/state.h"

namespace ensemble::device {
namespace {

using Harness = VirtioHarness;
using testing::HasSubstr;

constexpr std::uint32_t kHeader = sizeof(VsockHeader);
constexpr std::uint32_t kBufferBytes = VsockConnection::kBufferBytes;
constexpr std::uint32_t kGuestPort = 1025;
constexpr std::uint32_t kHostPort = 5000;
constexpr std::uint64_t kSent = Harness::kData;
constexpr std::uint64_t kReceived = Harness::kData + 0x20'0000;
constexpr std::uint32_t kRoom = 0x1000;  // Of a receive buffer, beside the header.

std::string bytes_of(std::size_t size, unsigned seed = 1) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) {
    seed = seed * 1664525 + 1013904223;
    byte = static_cast<char>(seed >> 24);
  }
  return bytes;
}

// A Unix socket of the host.
vmm::FileDescriptor host_socket() {
  return vmm::FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}
sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

struct Packet {
  VsockHeader header;
  std::string data;
};

class VsockDeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    auto device = VsockDevice::create(harness_.loop(), path_);
    ASSERT_TRUE(device) << device.error().message();
    vsock_ = device->get();
    harness_.attach(*std::move(device));
    harness_.start();
    offer_buffers(8);
  }

  void offer_buffers(int count) {
    for (; count > 0; --count) {
      const std::uint64_t address = kReceived + (offered_++ % 8) * 0x2000;
      harness_.queue(0).offer_chain({{address, kHeader, true}, {address + kHeader, kRoom, true}});
    }
    harness_.notify(0);
  }

  // The next packet that the guest gets, whose buffer it offers again; operation 0: none.
  Packet next_packet() {
    harness_.run();
    const auto used = harness_.queue(0).take_used();
    if (!used) {
      return {};
    }
    const std::uint64_t address = kReceived + (taken_++ % 8) * 0x2000;
    Packet packet{.header = harness_.memory().load<VsockHeader>(address).value(),
                  .data = harness_.text(address + kHeader, used->length - kHeader)};
    EXPECT_EQ(packet.header.size, packet.data.size());
    EXPECT_EQ(packet.header.source_cid, VsockDevice::kHostCid);
    EXPECT_EQ(packet.header.target_cid, VsockDevice::kGuestCid);
    offer_buffers(1);
    return packet;
  }
  std::uint16_t next_operation() { return next_packet().header.operation; }

  VsockHeader header_of(std::uint16_t operation) const {
    return {.source_cid = VsockDevice::kGuestCid,
            .target_cid = VsockDevice::kHostCid,
            .source_port = kGuestPort,
            .target_port = host_port_,
            .type = kVsockStream,
            .operation = operation,
            .buffer_size = 1 << 18,
            .forwarded_count = read_};
  }
  void send(VsockHeader header, const std::string& data = "") {
    header.size = static_cast<std::uint32_t>(data.size());
    harness_.memory().store(kSent, header).value();
    harness_.set_text(kSent + kHeader, data);
    harness_.queue(1).offer_chain(
        {{kSent, kHeader + static_cast<std::uint32_t>(data.size()), false}});
    harness_.notify(1);
    harness_.queue(1).take_used();
  }
  void send(std::uint16_t operation, const std::string& data = "") {
    send(header_of(operation), data);
  }

  void listen(std::uint32_t port) {
    listener_ = host_socket();
    const sockaddr_un address = address_of(path_ + "_" + std::to_string(port));
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0);
    ASSERT_EQ(::listen(listener_.get(), 1), 0);
  }

  // The guest connects to the host.
  void connect_to_host() {
    listen(kHostPort);
    send(kVsockRequest);
    const Packet answer = next_packet();
    ASSERT_EQ(answer.header.operation, kVsockResponse);
    EXPECT_EQ(answer.header.source_port, kHostPort);
    EXPECT_EQ(answer.header.target_port, kGuestPort);
    EXPECT_EQ(answer.header.buffer_size, kBufferBytes);
    peer_ = vmm::FileDescriptor(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK));
    ASSERT_TRUE(peer_);
  }

  // A client of the host says `line`.
  void ask(const std::string& line) {
    peer_ = host_socket();
    const sockaddr_un address = address_of(path_);
    ASSERT_EQ(::connect(peer_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0);
    write(line);
    harness_.run();
  }

  void write(const std::string& data) {
    ASSERT_EQ(::send(peer_.get(), data.data(), data.size(), MSG_NOSIGNAL), std::ssize(data));
  }
  std::string read() {
    std::string data(1 << 20, '\0');
    const ssize_t count = ::recv(peer_.get(), data.data(), data.size(), 0);
    data.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return data;
  }
  // Also where the device has left something unread.
  bool peer_is_at_end() {
    char byte = 0;
    const ssize_t count = ::recv(peer_.get(), &byte, 1, 0);
    return count == 0 || (count < 0 && errno == ECONNRESET);
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.path() / "vsock";
  Harness harness_;
  VsockDevice* vsock_ = nullptr;
  vmm::FileDescriptor listener_;
  vmm::FileDescriptor peer_;  // The host's end of the connection.
  std::uint32_t host_port_ = kHostPort;
  std::uint32_t read_ = 0;  // Bytes that the guest's program has read.
  std::uint64_t offered_ = 0;
  std::uint64_t taken_ = 0;
};

TEST_F(VsockDeviceTest, TellsTheGuestItsAddress) {
  EXPECT_EQ(harness_.read(0x08), 19U);
  EXPECT_EQ(harness_.read(Harness::kConfiguration), 3U);
  EXPECT_EQ(harness_.read(Harness::kConfiguration + 4), 0U);
}

TEST_F(VsockDeviceTest, ConnectsTheGuestToTheHost) {
  connect_to_host();
  send(kVsockData, "from the guest");
  EXPECT_EQ(read(), "from the guest");
  write("from the host");
  const Packet packet = next_packet();
  EXPECT_EQ(packet.header.operation, kVsockData);
  EXPECT_EQ(packet.data, "from the host");
  EXPECT_EQ(packet.header.forwarded_count, 14U);
  EXPECT_EQ(next_operation(), 0U);
}

TEST_F(VsockDeviceTest, ConnectsTheHostToTheGuest) {
  ask("CONNECT 1025\n and more");
  const Packet request = next_packet();
  ASSERT_EQ(request.header.operation, kVsockRequest);
  EXPECT_EQ(request.header.target_port, kGuestPort);
  host_port_ = request.header.source_port;
  EXPECT_EQ(read(), "");
  send(kVsockResponse);
  EXPECT_EQ(read(), "OK " + std::to_string(host_port_) + "\n");
  EXPECT_EQ(next_packet().data, " and more");
  send(kVsockData, "answer");
  EXPECT_EQ(read(), "answer");
}

TEST_F(VsockDeviceTest, HangsUpOnClientsThatTheGuestRefusesOrThatAskForNothing) {
  ask("CONNECT 1025\n");
  host_port_ = next_packet().header.source_port;
  send(kVsockReset);
  EXPECT_TRUE(peer_is_at_end());
  for (const char* line : {"CONNECT 4294967296\n", "CONNECT \n", "CONNECT 1 \n", "HELLO 1\n",
                           "CONNECT 1000000000000000000000000"}) {
    ask(line);
    EXPECT_TRUE(peer_is_at_end()) << line;
  }
  EXPECT_EQ(next_operation(), 0U);
  harness_.write(Harness::kStatus, 0);
  ask("CONNECT 1025\n");
  EXPECT_TRUE(peer_is_at_end()) << "there is no driver";
  EXPECT_EQ(vsock_->connection_count(), 0U);
}

TEST_F(VsockDeviceTest, TellsAGuestOfAClientThatGivesUp) {
  ask("CONNECT 1025\n");
  host_port_ = next_packet().header.source_port;
  peer_ = {};
  EXPECT_EQ(next_operation(), kVsockReset);
  EXPECT_EQ(vsock_->connection_count(), 0U);
}

TEST_F(VsockDeviceTest, ResetsWhatBelongsToNoConnection) {
  send(kVsockRequest);
  const Packet refused = next_packet();
  EXPECT_EQ(refused.header.operation, kVsockReset) << "nobody listens";
  EXPECT_EQ(refused.header.target_port, kGuestPort);
  EXPECT_EQ(refused.header.source_port, kHostPort);
  send(kVsockData, "data");
  EXPECT_EQ(next_operation(), kVsockReset);
  VsockHeader datagram = header_of(kVsockRequest);
  datagram.type = 3;
  send(datagram);
  EXPECT_EQ(next_operation(), kVsockReset);
  send(kVsockReset);
  VsockHeader stranger = header_of(kVsockRequest);
  stranger.source_cid = 4;
  send(stranger);
  EXPECT_EQ(next_operation(), 0U);
}

TEST_F(VsockDeviceTest, HasTheGuestWaitForASlowHost) {
  connect_to_host();
  // More than a socket holds, so that the rest waits in the device.
  std::string sent;
  std::uint32_t credit = kBufferBytes;
  Packet update;
  const auto more = [&](std::size_t size) {
    const std::string data = bytes_of(size, static_cast<unsigned>(sent.size()));
    send(kVsockData, data);
    sent += data;
    credit -= static_cast<std::uint32_t>(size);
    for (update = next_packet(); update.header.operation == kVsockCreditUpdate;
         update = next_packet()) {
      credit =
          kBufferBytes - (static_cast<std::uint32_t>(sent.size()) - update.header.forwarded_count);
    }
    ASSERT_EQ(update.header.operation, 0U);
  };
  while (credit >= 16384) {
    more(16384);
  }
  ASSERT_GT(sent.size(), std::size_t{kBufferBytes});
  std::string received;
  while (received.size() < sent.size()) {
    const std::string part = read();
    received += part;
    harness_.run();
    if (part.empty()) {
      break;
    }
  }
  EXPECT_EQ(received, sent);
  update = next_packet();
  EXPECT_EQ(update.header.operation, kVsockCreditUpdate);
  EXPECT_EQ(update.header.forwarded_count, sent.size());
}

TEST_F(VsockDeviceTest, ResetsAGuestThatSendsMoreThanThereIsRoomFor) {
  connect_to_host();
  for (int i = 0; i < 64 && vsock_->connection_count() == 1; ++i) {
    send(kVsockData, bytes_of(60000));
  }
  EXPECT_EQ(vsock_->connection_count(), 0U);
  std::uint16_t last = 0;
  for (std::uint16_t next = next_operation(); next != 0; next = next_operation()) {
    last = next;
  }
  EXPECT_EQ(last, kVsockReset);
  EXPECT_EQ(harness_.broken(), "");
}

TEST_F(VsockDeviceTest, WaitsForRoomInTheGuest) {
  connect_to_host();
  VsockHeader small = header_of(kVsockCreditUpdate);
  small.buffer_size = 10;
  send(small);
  write("0123456789abcdef");
  EXPECT_EQ(next_packet().data, "0123456789");
  EXPECT_EQ(next_operation(), 0U);
  small.forwarded_count = 4;
  send(small);
  EXPECT_EQ(next_packet().data, "abcd");
  small.forwarded_count = 1000;  // More than it got.
  send(small);
  EXPECT_EQ(next_operation(), 0U);
  small.forwarded_count = 14;
  send(small);
  EXPECT_EQ(next_packet().data, "ef");
}

TEST_F(VsockDeviceTest, AnswersACreditRequest) {
  connect_to_host();
  send(kVsockData, "12345");
  send(kVsockCreditRequest);
  const Packet packet = next_packet();
  EXPECT_EQ(packet.header.operation, kVsockCreditUpdate);
  EXPECT_EQ(packet.header.forwarded_count, 5U);
}

TEST_F(VsockDeviceTest, PassesOnThatAnEndSendsNoMore) {
  connect_to_host();
  VsockHeader shutdown = header_of(kVsockShutdown);
  shutdown.flags = kVsockSendsNoMore;
  send(kVsockData, "last");
  send(shutdown);
  EXPECT_EQ(read(), "last");
  EXPECT_TRUE(peer_is_at_end());
  write("still there");
  EXPECT_EQ(next_packet().data, "still there");
  ::shutdown(peer_.get(), SHUT_WR);
  const Packet packet = next_packet();
  EXPECT_EQ(packet.header.operation, kVsockShutdown);
  EXPECT_EQ(packet.header.flags, kVsockEnds) << "nothing can be sent either way";
  shutdown.flags = kVsockEnds;
  send(shutdown);
  EXPECT_EQ(next_operation(), kVsockReset) << "the guest waits for it";
  EXPECT_EQ(vsock_->connection_count(), 0U);
}

TEST_F(VsockDeviceTest, LetsTheGuestSendToAHostThatSendsNoMore) {
  connect_to_host();
  ::shutdown(peer_.get(), SHUT_WR);
  const Packet packet = next_packet();
  EXPECT_EQ(packet.header.operation, kVsockShutdown);
  EXPECT_EQ(packet.header.flags, kVsockSendsNoMore);
  send(kVsockData, "more");
  EXPECT_EQ(read(), "more");
  EXPECT_EQ(next_operation(), 0U);
  peer_ = {};
  const Packet last = next_packet();
  EXPECT_EQ(last.header.operation, kVsockShutdown);
  EXPECT_EQ(last.header.flags, kVsockEnds);
  EXPECT_EQ(vsock_->connection_count(), 0U);
}

TEST_F(VsockDeviceTest, TellsOfAHostThatIsGoneOnceAllIsRead) {
  connect_to_host();
  write("last words");
  peer_ = {};
  EXPECT_EQ(next_packet().data, "last words");
  const Packet packet = next_packet();
  EXPECT_EQ(packet.header.operation, kVsockShutdown);
  EXPECT_EQ(packet.header.flags, kVsockEnds);
  EXPECT_EQ(vsock_->connection_count(), 0U);
  send(kVsockCreditUpdate);
  EXPECT_EQ(next_operation(), kVsockReset);
}

TEST_F(VsockDeviceTest, HasALimitedNumberOfConnections) {
  listener_ = host_socket();
  const sockaddr_un address = address_of(path_ + "_" + std::to_string(kHostPort));
  ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
            0);
  ASSERT_EQ(::listen(listener_.get(), 200), 0);
  VsockHeader request = header_of(kVsockRequest);
  for (std::uint32_t i = 0; i < VsockDevice::kMostConnections; ++i) {
    request.source_port = i;
    send(request);
    ASSERT_EQ(next_operation(), kVsockResponse);
  }
  request.source_port = 5000;
  send(request);
  EXPECT_EQ(next_operation(), kVsockReset);
  EXPECT_EQ(vsock_->connection_count(), VsockDevice::kMostConnections);
  harness_.write(Harness::kStatus, 0);
  EXPECT_EQ(vsock_->connection_count(), 0U);
}

TEST_F(VsockDeviceTest, RefusesReceiveBuffersWithoutRoom) {
  harness_.start();
  harness_.queue(0).offer_chain({{kReceived, kHeader, true}});
  send(kVsockRequest);
  harness_.run();
  EXPECT_THAT(harness_.broken(), HasSubstr("a receive buffer of 44 bytes"));
}

TEST_F(VsockDeviceTest, TellsOfLostConnectionsAfterARestore) {
  connect_to_host();
  harness_.queue(2).offer_chain({{kSent, 4, true}});
  vmm::StateWriter writer;
  harness_.memory().store<std::uint32_t>(kSent, 77).value();
  harness_.device().save(writer).value();
  const auto saved = writer.data();
  vmm::StateReader reader(saved);
  ASSERT_TRUE(harness_.device().restore(reader, 1));
  EXPECT_EQ(harness_.wait_for_used(2).length, 4U);
  EXPECT_EQ(harness_.memory().load<std::uint32_t>(kSent).value(), 0U);
  EXPECT_EQ(vsock_->connection_count(), 0U);
  EXPECT_TRUE(peer_is_at_end());
}

TEST_F(VsockDeviceTest, PacketsThatWaitAreTakenOnceAfterARestore) {
  listen(kHostPort);
  harness_.memory().store(kSent, header_of(kVsockRequest)).value();
  harness_.queue(1).offer_chain({{kSent, kHeader, false}});
  harness_.write(Harness::kQueueNotify, 1);
  vmm::StateWriter writer;
  harness_.device().save(writer).value();
  harness_.write(Harness::kStatus, 0);
  harness_.run();
  ASSERT_EQ(vsock_->connection_count(), 0U) << "a reset forgets the notification";

  vmm::StateReader reader(writer.data());
  ASSERT_TRUE(harness_.device().restore(reader, 1));
  EXPECT_EQ(next_operation(), kVsockResponse);
  harness_.notify(1);
  EXPECT_EQ(next_operation(), 0) << "once: another request would reset the connection";
  EXPECT_EQ(vsock_->connection_count(), 1U);
  EXPECT_EQ(harness_.queue(1).used_index(), 1);
}

TEST(VsockListener, TakesThePlaceOfASocketThatWasLeftBehindOnly) {
  const TemporaryFolder folder;
  const std::string path = folder.path() / "vsock";
  auto loop = vmm::EventLoop::create().value();
  const auto asked = [](vmm::FileDescriptor, std::uint32_t) {};
  const auto message = [&](const std::string& where) {
    const auto listener = VsockListener::create(*loop, where, asked);
    return listener ? "" : listener.error().message();
  };
  {
    const vmm::FileDescriptor left = host_socket();
    const sockaddr_un address = address_of(path);
    ASSERT_EQ(::bind(left.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  {
    const auto listener = VsockListener::create(*loop, path, asked);
    ASSERT_TRUE(listener) << listener.error().message();
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700U);
    EXPECT_THAT(message(path), HasSubstr("cannot listen at"));
  }
  struct stat status {};
  EXPECT_NE(::stat(path.c_str(), &status), 0) << "it goes with the listener";
  EXPECT_THAT(message("/nonexistent/vsock"), HasSubstr("No such file"));
  EXPECT_THAT(message(std::string(97, 'x')), HasSubstr("97 bytes"));
}

}  // namespace
}  // namespace ensemble::device
