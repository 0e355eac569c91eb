#include "device-model/virtio/port_device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/device-model/virtio_harness.h"
#include "vmm/state.h"

namespace ensemble::device {
namespace {

using Harness = VirtioHarness;
using Event = PortDevice::Event;
using Message = PortDevice::ControlMessage;

constexpr std::uint64_t kMultiport = 1 << 1;
constexpr std::uint64_t kFeatures = Harness::kVersion1 | kMultiport;

// The host's end, in memory.
class FakePort final : public PortBackend {
 public:
  void set_handlers(Handlers set) override { handlers = std::move(set); }
  void admit() override { admits = admits || !is_connected; }
  bool connected() const override { return is_connected; }
  void disconnect() override { is_connected = false; }
  std::size_t write(std::span<const std::byte> data) override {
    const std::size_t size = std::min(data.size(), room);
    room -= size;
    received.append(reinterpret_cast<const char*>(data.data()), size);
    return size;
  }
  std::size_t read(std::span<std::byte> data) override {
    const std::size_t size = std::min(data.size(), to_send.size());
    std::memcpy(data.data(), to_send.data(), size);
    to_send.erase(0, size);
    return size;
  }

  void connect() {
    ASSERT_TRUE(admits);
    admits = false;
    is_connected = true;
    handlers.connected();
  }
  void go() {
    is_connected = false;
    handlers.disconnected();
  }
  void send(const std::string& text) {
    to_send += text;
    handlers.readable();
  }

  Handlers handlers;
  bool admits = false;
  bool is_connected = false;
  std::size_t room = SIZE_MAX;
  std::string received;
  std::string to_send;
};

class PortDeviceTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kControlIn = Harness::kData;
  static constexpr std::uint64_t kControlOut = Harness::kData + 0x1000;
  static constexpr std::uint64_t kInput = Harness::kData + 0x10000;
  static constexpr std::uint64_t kOutput = Harness::kData + 0x40000;
  static constexpr std::uint32_t kControlSize = 64;

  PortDeviceTest() : harness_(std::make_unique<PortDevice>("org.example", backend_)) {
    harness_.start(kFeatures);
  }

  vmm::DriverQueue& control_in() { return harness_.queue(PortDevice::kControlReceiveQueue); }

  void say(std::uint32_t port, Event event, std::uint16_t value) {
    const Message message{port, static_cast<std::uint16_t>(event), value};
    harness_.memory().store(kControlOut, message).value();
    harness_.queue(PortDevice::kControlTransmitQueue)
        .offer_chain({{kControlOut, sizeof message, false}});
    harness_.notify(PortDevice::kControlTransmitQueue);
    EXPECT_TRUE(harness_.queue(PortDevice::kControlTransmitQueue).take_used());
  }

  // What the device says next, as "event=value", with a name behind it; empty: nothing.
  std::string hear() {
    control_in().offer_chain({{kControlIn, kControlSize, true}});
    harness_.notify(PortDevice::kControlReceiveQueue);
    return last_heard();
  }
  std::string last_heard() {
    const auto used = control_in().take_used();
    if (!used) {
      return "";
    }
    Message message{};
    const std::string bytes = harness_.text(kControlIn, used->length);
    std::memcpy(&message, bytes.data(), sizeof message);
    EXPECT_EQ(message.port, PortDevice::kPort);
    return std::to_string(message.event) + "=" + std::to_string(message.value) +
           bytes.substr(sizeof message);
  }

  // The driver finds the port; a program opens it.
  void open_port() {
    say(0, Event::kDeviceReady, 1);
    EXPECT_EQ(hear(), "1=1");
    say(PortDevice::kPort, Event::kPortReady, 1);
    EXPECT_EQ(hear(), "7=1org.example");
    guest_opens(true);
    // A buffer for what the device has to say next.
    EXPECT_EQ(hear(), "");
  }
  void guest_opens(bool open) { say(PortDevice::kPort, Event::kPortOpen, open ? 1 : 0); }

  // Of the buffer that hear() left with the device.
  std::string heard_since() {
    harness_.run();
    const std::string heard = last_heard();
    if (!heard.empty()) {
      control_in().offer_chain({{kControlIn, kControlSize, true}});
      harness_.notify(PortDevice::kControlReceiveQueue);
    }
    return heard;
  }

  void offer_input(std::uint32_t size) {
    harness_.queue(PortDevice::kReceiveQueue).offer_chain({{kInput, size, true}});
    harness_.notify(PortDevice::kReceiveQueue);
  }
  // What the program reads; empty: nothing has come.
  std::string input() {
    harness_.run();
    const auto used = harness_.queue(PortDevice::kReceiveQueue).take_used();
    return used ? harness_.text(kInput, used->length) : "";
  }
  bool output(const std::string& text) {
    harness_.set_text(kOutput, text);
    harness_.queue(PortDevice::kTransmitQueue)
        .offer_chain({{kOutput, static_cast<std::uint32_t>(text.size()), false}});
    harness_.notify(PortDevice::kTransmitQueue);
    return harness_.queue(PortDevice::kTransmitQueue).take_used().has_value();
  }

  FakePort backend_;
  Harness harness_;
};

TEST_F(PortDeviceTest, OffersPortsAndNoSize) {
  harness_.write(Harness::kStatus, 0);
  EXPECT_EQ(harness_.device_features() & 7, kMultiport);
  EXPECT_EQ(harness_.read(Harness::kConfiguration), 0U);
  EXPECT_EQ(harness_.read(Harness::kConfiguration + 4), 2U);
}

TEST_F(PortDeviceTest, CarriesBytesBothWays) {
  open_port();
  backend_.connect();
  EXPECT_EQ(heard_since(), "6=1");
  offer_input(64);
  backend_.send("question");
  EXPECT_EQ(input(), "question");
  EXPECT_TRUE(output("answer"));
  EXPECT_EQ(backend_.received, "answer");
}

TEST_F(PortDeviceTest, FillsSeveralBuffersOfAChain) {
  open_port();
  backend_.connect();
  harness_.queue(PortDevice::kReceiveQueue)
      .offer_chain({{kInput, 4, true}, {kInput + 4, 4, true}, {kInput + 8, 4, true}});
  backend_.send("0123456789");
  EXPECT_EQ(input(), "0123456789");
}

TEST_F(PortDeviceTest, AHostThatComesEarlyWaits) {
  backend_.connect();
  backend_.send("early");
  say(0, Event::kDeviceReady, 1);
  EXPECT_EQ(hear(), "1=1");
  offer_input(64);
  say(PortDevice::kPort, Event::kPortReady, 1);
  EXPECT_EQ(hear(), "7=1org.example");
  EXPECT_EQ(hear(), "6=1");
  EXPECT_EQ(input(), "");
  guest_opens(true);
  EXPECT_EQ(input(), "early");
}

TEST_F(PortDeviceTest, BytesWaitForTheGuestsBuffers) {
  open_port();
  backend_.connect();
  backend_.send(std::string(100, 'x'));
  EXPECT_EQ(backend_.to_send.size(), 100U);
  offer_input(60);
  EXPECT_EQ(input().size(), 60U);
  EXPECT_EQ(backend_.to_send.size(), 40U);
}

TEST_F(PortDeviceTest, OutputWaitsForTheHost) {
  open_port();
  backend_.connect();
  backend_.room = 3;
  EXPECT_FALSE(output("abcdef"));
  backend_.room = 100;
  backend_.handlers.writable();
  EXPECT_TRUE(harness_.queue(PortDevice::kTransmitQueue).take_used());
  EXPECT_EQ(backend_.received, "abcdef");
}

TEST_F(PortDeviceTest, OutputWithoutAHostIsDropped) {
  open_port();
  EXPECT_TRUE(output("nobody"));
  backend_.connect();
  EXPECT_TRUE(output("somebody"));
  EXPECT_EQ(backend_.received, "somebody");
}

TEST_F(PortDeviceTest, TheNextHostWaitsUntilTheGuestHasReopened) {
  open_port();
  backend_.connect();
  EXPECT_EQ(heard_since(), "6=1");
  EXPECT_TRUE(output("x"));
  backend_.room = 0;
  EXPECT_FALSE(output("rest of a message"));
  backend_.go();
  EXPECT_TRUE(harness_.queue(PortDevice::kTransmitQueue).take_used());
  EXPECT_EQ(heard_since(), "6=0");
  backend_.room = SIZE_MAX;
  backend_.connect();
  offer_input(64);
  backend_.send("new");
  EXPECT_TRUE(output("still for the one that went"));
  EXPECT_EQ(heard_since(), "");
  EXPECT_EQ(input(), "");
  guest_opens(false);
  EXPECT_EQ(heard_since(), "6=1");
  EXPECT_EQ(input(), "");
  guest_opens(true);
  EXPECT_EQ(input(), "new");
  EXPECT_EQ(backend_.received, "x");
}

TEST_F(PortDeviceTest, AConnectionWithoutBytesNeedsNoReopening) {
  open_port();
  for (int i = 0; i < 3; ++i) {
    backend_.connect();
    EXPECT_EQ(heard_since(), "6=1");
    backend_.go();
    EXPECT_EQ(heard_since(), "6=0");
  }
  EXPECT_TRUE(backend_.admits);
}

TEST_F(PortDeviceTest, NoFurtherHostBeforeTheGuestKnowsThatTheLastHasGone) {
  say(0, Event::kDeviceReady, 1);
  EXPECT_EQ(hear(), "1=1");
  say(PortDevice::kPort, Event::kPortReady, 1);
  EXPECT_EQ(hear(), "7=1org.example");
  backend_.connect();
  EXPECT_EQ(hear(), "6=1");
  backend_.go();
  EXPECT_FALSE(backend_.admits);
  EXPECT_EQ(hear(), "6=0");
  EXPECT_TRUE(backend_.admits);
}

TEST_F(PortDeviceTest, AGuestThatClosesEndsTheConnection) {
  open_port();
  backend_.connect();
  EXPECT_EQ(heard_since(), "6=1");
  backend_.room = 0;
  EXPECT_FALSE(output("unread"));
  guest_opens(false);
  EXPECT_FALSE(backend_.is_connected);
  EXPECT_TRUE(harness_.queue(PortDevice::kTransmitQueue).take_used());
  EXPECT_EQ(heard_since(), "6=0");
  EXPECT_TRUE(backend_.admits);
}

TEST_F(PortDeviceTest, AResetEndsWhatTheGuestKnewOf) {
  open_port();
  backend_.connect();
  EXPECT_EQ(heard_since(), "6=1");
  harness_.write(Harness::kStatus, 0);
  EXPECT_FALSE(backend_.is_connected);
  EXPECT_TRUE(backend_.admits);
}

TEST_F(PortDeviceTest, AResetKeepsAHostThatWaits) {
  backend_.connect();
  harness_.write(Harness::kStatus, 0);
  EXPECT_TRUE(backend_.is_connected);
  harness_.start(kFeatures);
  say(0, Event::kDeviceReady, 1);
  EXPECT_EQ(hear(), "1=1");
  say(PortDevice::kPort, Event::kPortReady, 1);
  EXPECT_EQ(hear(), "7=1org.example");
  guest_opens(true);
  backend_.send("hello");
  offer_input(64);
  EXPECT_EQ(input(), "");
  EXPECT_EQ(hear(), "6=1");
  EXPECT_EQ(input(), "hello");
}

TEST_F(PortDeviceTest, NonsenseOnTheControlQueueIsIgnored) {
  open_port();
  say(7, Event::kPortOpen, 0);
  say(PortDevice::kPort, static_cast<Event>(999), 1);
  for (int i = 0; i < 1000; ++i) {
    say(0, Event::kDeviceReady, 1);
    say(PortDevice::kPort, Event::kPortReady, 1);
    guest_opens(i % 2 == 0);
  }
  harness_.queue(PortDevice::kControlTransmitQueue).offer_chain({{kControlOut, 3, false}});
  harness_.notify(PortDevice::kControlTransmitQueue);
  EXPECT_FALSE(harness_.needs_reset());
  // The first answer took the buffer; what was said a thousand times since is told once.
  EXPECT_EQ(heard_since().substr(0, 2), "1=");
  EXPECT_EQ(heard_since().substr(0, 2), "1=");
  EXPECT_EQ(heard_since().substr(0, 2), "7=");
  EXPECT_EQ(heard_since(), "");
}

TEST_F(PortDeviceTest, ShortAndUselessBuffersDoNoHarm) {
  say(0, Event::kDeviceReady, 1);
  control_in().offer_chain({{kControlIn, 3, true}});
  harness_.notify(PortDevice::kControlReceiveQueue);
  EXPECT_EQ(control_in().take_used()->length, 3U);
  open_port();
  backend_.connect();
  backend_.send("x");
  harness_.queue(PortDevice::kReceiveQueue).offer_chain({{kInput, 8, false}});
  offer_input(8);
  EXPECT_EQ(harness_.wait_for_used(PortDevice::kReceiveQueue).length, 0U);
  EXPECT_EQ(harness_.wait_for_used(PortDevice::kReceiveQueue).length, 1U);
  EXPECT_FALSE(harness_.needs_reset());
}

TEST_F(PortDeviceTest, HugeChainsAreDoneInTurns) {
  open_port();
  backend_.connect();
  const vmm::DriverQueue::Buffer part{1 << 20, Harness::kMemory - (1 << 20), false};
  harness_.queue(PortDevice::kTransmitQueue).offer_chain({part, part, part, part});
  harness_.write(Harness::kQueueNotify, PortDevice::kTransmitQueue);
  harness_.loop().run_once(std::chrono::milliseconds(0)).value();
  EXPECT_FALSE(harness_.queue(PortDevice::kTransmitQueue).take_used());
  EXPECT_LE(backend_.received.size(), 2U << 20);
  harness_.run();
  EXPECT_TRUE(harness_.queue(PortDevice::kTransmitQueue).take_used());
  EXPECT_EQ(backend_.received.size(), 4U * (Harness::kMemory - (1 << 20)));
}

TEST_F(PortDeviceTest, ARestoredPortTellsThatTheHostHasGone) {
  open_port();
  backend_.connect();
  EXPECT_EQ(heard_since(), "6=1");
  EXPECT_TRUE(output("x"));
  const auto state = vmm::save_state(harness_.bus().stateful_components()).value();

  FakePort other;
  VirtioMmio copy("virtio-port0", std::make_unique<PortDevice>("org.example", other),
                  harness_.memory(), harness_.loop(),
                  std::make_unique<vmm::CountingInterruptLine>());
  vmm::Stateful* components[] = {&copy};
  const auto restored = vmm::restore_state(state, components);
  ASSERT_TRUE(restored) << restored.error().message();
  harness_.run();
  EXPECT_EQ(last_heard(), "6=0");
  EXPECT_TRUE(other.admits);
}

TEST_F(PortDeviceTest, OutputUnderWayIsReturnedOnceAfterARestore) {
  open_port();
  backend_.connect();
  EXPECT_EQ(heard_since(), "6=1");
  backend_.room = 3;
  harness_.set_text(kOutput, "abcdef");
  vmm::DriverQueue& transmit = harness_.queue(PortDevice::kTransmitQueue);
  transmit.offer_chain({{kOutput, 6, false}});
  harness_.notify(PortDevice::kTransmitQueue);
  ASSERT_EQ(backend_.received, "abc");
  ASSERT_EQ(transmit.used_index(), 0);
  const auto state = vmm::save_state(harness_.bus().stateful_components()).value();
  harness_.write(Harness::kStatus, 0);

  FakePort other;
  VirtioMmio copy("virtio-port0", std::make_unique<PortDevice>("org.example", other),
                  harness_.memory(), harness_.loop(),
                  std::make_unique<vmm::CountingInterruptLine>());
  vmm::Stateful* components[] = {&copy};
  ASSERT_TRUE(vmm::restore_state(state, components));
  harness_.run();
  EXPECT_EQ(transmit.used_index(), 1) << "its host has gone";
  harness_.run();
  EXPECT_EQ(transmit.used_index(), 1) << "once";
  EXPECT_EQ(other.received, "") << "no other host gets its rest";
}

}  // namespace
}  // namespace ensemble::device
