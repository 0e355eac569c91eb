#include "device-model/virtio/network_device.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "tests/device-model/virtio_harness.h"
#include "vmm/state.h"

namespace ensemble::device {
namespace {

using Harness = VirtioHarness;
using Header = NetworkDevice::Header;

constexpr std::uint64_t kMtuFeature = 1 << 3;
constexpr std::uint64_t kMacFeature = 1 << 5;
constexpr std::uint64_t kMergeFeature = 1 << 15;
constexpr std::uint64_t kStatusFeature = 1 << 16;
constexpr std::uint64_t kMerging = Harness::kVersion1 | kMergeFeature;
constexpr MacAddress kMac{0x02, 1, 2, 3, 4, 5};
constexpr std::uint32_t kHeader = sizeof(Header);
constexpr std::uint64_t kFrames = Harness::kData;
constexpr std::uint64_t kBuffers = Harness::kData + 0x100000;

std::string frame_of(std::size_t size, char first = 'a') {
  std::string frame(size, '\0');
  for (std::size_t i = 0; i < size; ++i) {
    frame[i] = static_cast<char>(first + i % 23);
  }
  return frame;
}

// The wire, in memory.
class FakeNetwork final : public NetworkBackend {
 public:
  std::uint16_t mtu() const override { return 1500; }
  void send(std::span<const std::byte> frame) override {
    sent.emplace_back(reinterpret_cast<const char*>(frame.data()), frame.size());
  }
  void flush() override { ++flushes; }
  std::size_t receive(std::span<std::byte> buffer) override {
    if (arrived.empty()) {
      return 0;
    }
    const std::string frame = std::exchange(arrived.front(), {});
    arrived.pop_front();
    std::memcpy(buffer.data(), frame.data(), frame.size());
    return frame.size();
  }
  void set_readable_handler(std::function<void()> readable) override {
    handler = std::move(readable);
  }

  void arrive(std::string frame) {
    arrived.push_back(std::move(frame));
    handler();
  }

  std::vector<std::string> sent;
  int flushes = 0;
  std::deque<std::string> arrived;
  std::function<void()> handler;
};

class NetworkDeviceTest : public testing::Test {
 protected:
  void start(std::uint64_t features = kMerging) {
    auto network = std::make_unique<FakeNetwork>();
    network_ = network.get();
    harness_.attach(std::make_unique<NetworkDevice>(kMac, std::move(network)));
    harness_.start(features);
  }

  vmm::DriverQueue& receive_queue() { return harness_.queue(NetworkDevice::kReceiveQueue); }
  vmm::DriverQueue& transmit_queue() { return harness_.queue(NetworkDevice::kTransmitQueue); }

  // Sends bytes, cut at the sizes, the first of which lie at kFrames.
  void transmit(const std::string& bytes, const std::vector<std::uint32_t>& cuts) {
    harness_.set_text(kFrames, bytes);
    std::vector<vmm::DriverQueue::Buffer> buffers;
    std::uint64_t at = kFrames;
    for (const std::uint32_t size : cuts) {
      buffers.push_back({at, size, false});
      at += size;
    }
    transmit_queue().offer(transmit_queue().write_chain(buffers));
    harness_.notify(NetworkDevice::kTransmitQueue);
  }
  void transmit(const Header& header, const std::string& frame) {
    std::string bytes(sizeof(header), '\0');
    std::memcpy(bytes.data(), &header, sizeof(header));
    bytes += frame;
    transmit(bytes, {static_cast<std::uint32_t>(bytes.size())});
  }

  void offer_buffer(std::uint32_t size) {
    receive_queue().offer_chain({{next_buffer_, size, true}});
    buffers_.push_back(next_buffer_);
    next_buffer_ += 0x10000;
    harness_.notify(NetworkDevice::kReceiveQueue);
  }

  // The next frame that the driver finds, put together; empty: none.
  std::string received() {
    const auto first = receive_queue().take_used();
    if (!first) {
      return "";
    }
    const auto header = harness_.memory().load<Header>(buffers_.front()).value();
    EXPECT_EQ(header.flags, 0);
    EXPECT_EQ(header.gso_type, 0);
    std::string bytes = harness_.text(buffers_.front(), first->length);
    buffers_.pop_front();
    for (int i = 1; i < header.num_buffers; ++i) {
      const auto used = receive_queue().take_used();
      if (!used) {
        ADD_FAILURE() << "fewer buffers than the header says";
        return "";
      }
      bytes += harness_.text(buffers_.front(), used->length);
      buffers_.pop_front();
    }
    last_buffers_ = header.num_buffers;
    return bytes.substr(kHeader);
  }

  Harness harness_;
  FakeNetwork* network_ = nullptr;
  std::uint64_t next_buffer_ = kBuffers;
  std::deque<std::uint64_t> buffers_;
  int last_buffers_ = 0;
};

TEST_F(NetworkDeviceTest, TellsAddressStatusAndLargestPayload) {
  start();
  constexpr std::uint64_t kAll = kMtuFeature | kMacFeature | kMergeFeature | kStatusFeature;
  EXPECT_EQ(harness_.device_features() & 0xFF'FFFF, kAll);
  EXPECT_EQ(harness_.read(Harness::kConfiguration), 0x03020102U);
  EXPECT_EQ(harness_.read(Harness::kConfiguration + 4), 0x00010504U);
  EXPECT_EQ(harness_.read(Harness::kConfiguration + 8), (1500U << 16) | 1U);
  EXPECT_EQ(harness_.read(Harness::kConfiguration + 12), 0U);
}

TEST_F(NetworkDeviceTest, SendsFramesHoweverTheyAreCut) {
  start();
  const std::string frame = frame_of(1514);
  const std::string bytes = std::string(kHeader, '\0') + frame;
  transmit(bytes, {kHeader, 1514});
  transmit(bytes, {5, 7, 1, 1513});
  transmit(bytes, {kHeader + 1, 1000, 513});
  EXPECT_EQ(network_->sent, std::vector<std::string>(3, frame));
  EXPECT_EQ(transmit_queue().used_index(), 3);
}

TEST_F(NetworkDeviceTest, HandlesAllFramesOfANotificationTogether) {
  start();
  harness_.set_text(kFrames, std::string(kHeader, '\0') + frame_of(60));
  for (int i = 0; i < 8; ++i) {
    transmit_queue().offer_chain({{kFrames, kHeader + 60, false}});
  }
  const std::uint64_t interrupts = harness_.interrupts();
  harness_.notify(NetworkDevice::kTransmitQueue);
  EXPECT_EQ(network_->sent.size(), 8U);
  EXPECT_EQ(network_->flushes, 1);
  EXPECT_EQ(harness_.interrupts(), interrupts + 1);
}

TEST_F(NetworkDeviceTest, LosesFramesThatAreNone) {
  start();
  const struct {
    const char* what;
    Header header;
    std::size_t size;
    bool arrives;
  } kCases[] = {{"shortest", {}, 14, true},
                {"too short", {}, 13, false},
                {"nothing but a header", {}, 0, false},
                {"largest, with a VLAN tag", {}, 1518, true},
                {"too long", {}, 1519, false},
                {"far too long", {}, 0x8000, false},
                {"wants a checksum", {.flags = 1}, 60, false},
                {"wants to be cut", {.gso_type = 1, .gso_size = 100}, 60, false}};
  for (const auto& each : kCases) {
    network_->sent.clear();
    transmit(each.header, frame_of(each.size));
    EXPECT_EQ(network_->sent.size(), each.arrives ? 1U : 0U) << each.what;
    EXPECT_TRUE(transmit_queue().take_used()) << each.what;
  }
  transmit("short", {5});
  EXPECT_TRUE(transmit_queue().take_used());
  EXPECT_FALSE(harness_.needs_reset());
}

TEST_F(NetworkDeviceTest, LosesChainsOfTheWrongDirection) {
  start();
  transmit_queue().offer_chain({{kFrames, 100, true}});
  harness_.notify(NetworkDevice::kTransmitQueue);
  EXPECT_TRUE(network_->sent.empty());
  EXPECT_EQ(transmit_queue().take_used()->length, 0U);
}

TEST_F(NetworkDeviceTest, ReceivesIntoOneBuffer) {
  start(Harness::kVersion1);
  offer_buffer(kHeader + 1518);
  network_->arrive(frame_of(60));
  EXPECT_EQ(received(), frame_of(60));
  EXPECT_EQ(received(), "");
}

TEST_F(NetworkDeviceTest, ReceivesIntoAChainOfSeveralDescriptors) {
  start();
  const std::uint64_t at = next_buffer_;
  receive_queue().offer_chain({{at, 4, true}, {at + 4, 9, true}, {at + 13, 2000, true}});
  buffers_.push_back(at);
  harness_.notify(NetworkDevice::kReceiveQueue);
  network_->arrive(frame_of(1514));
  EXPECT_EQ(received(), frame_of(1514));
}

TEST_F(NetworkDeviceTest, MergesBuffersAndShowsThemTogether) {
  start();
  for (int i = 0; i < 8; ++i) {
    offer_buffer(256);
  }
  network_->arrive(frame_of(1514));
  EXPECT_EQ(receive_queue().used_index(), 6);
  EXPECT_EQ(received(), frame_of(1514));
  EXPECT_EQ(last_buffers_, 6);
  network_->arrive(frame_of(100, 'b'));
  EXPECT_EQ(received(), frame_of(100, 'b'));
  EXPECT_EQ(last_buffers_, 1);
}

class NetworkDeviceWaitTest : public NetworkDeviceTest,
                              public testing::WithParamInterface<std::uint64_t> {};

TEST_P(NetworkDeviceWaitTest, WaitsUntilThereAreEnoughBuffers) {
  start(GetParam());
  network_->arrive(frame_of(1000));
  network_->arrive(frame_of(50, 'c'));
  EXPECT_EQ(network_->arrived.size(), 1U) << "the second one waits in the network";
  for (int i = 0; i < 3; ++i) {
    offer_buffer(256);
    EXPECT_EQ(receive_queue().used_index(), 0);
    if ((GetParam() & Harness::kEventIndex) != 0) {
      EXPECT_EQ(receive_queue().available_event(), i + 1) << "the next one is to be told of";
    }
  }
  offer_buffer(256);
  EXPECT_EQ(received(), frame_of(1000));
  offer_buffer(256);
  EXPECT_EQ(received(), frame_of(50, 'c'));
}

INSTANTIATE_TEST_SUITE_P(Features, NetworkDeviceWaitTest,
                         testing::Values(kMerging, kMerging | Harness::kEventIndex));

TEST_F(NetworkDeviceTest, LosesFramesThatABufferCannotHold) {
  start(Harness::kVersion1);
  offer_buffer(kHeader + 100);
  for (int i = 0; i < 200; ++i) {
    network_->arrived.push_back(frame_of(101));
  }
  network_->arrive(frame_of(100));
  harness_.run();
  EXPECT_TRUE(network_->arrived.empty());
  EXPECT_EQ(received(), frame_of(100));
}

TEST_F(NetworkDeviceTest, StopsAtABufferThatCannotHoldAHeader) {
  start();
  offer_buffer(kHeader - 1);
  network_->arrive(frame_of(60));
  EXPECT_TRUE(harness_.needs_reset());
  EXPECT_EQ(harness_.broken(), "a receive buffer of 11 bytes; expected 12 at least");
  harness_.start(kMerging);
  buffers_.clear();
  offer_buffer(2000);
  network_->arrive(frame_of(61));
  EXPECT_EQ(received(), frame_of(61)) << "the frame before went with the reset";
}

TEST_F(NetworkDeviceTest, LeavesFramesInTheNetworkWhileNoDriverRuns) {
  start();
  harness_.write(Harness::kStatus, 0);
  network_->arrive(frame_of(60));
  EXPECT_EQ(network_->arrived.size(), 1U);
  harness_.start(kMerging);
  offer_buffer(2000);
  EXPECT_EQ(received(), frame_of(60));
}

TEST_F(NetworkDeviceTest, GoesOnAfterARestore) {
  start();
  offer_buffer(2000);
  vmm::StateWriter writer;
  ASSERT_TRUE(harness_.device().save(writer));
  network_->arrive(frame_of(60));
  EXPECT_EQ(received(), frame_of(60));
  // Back to before the frame: the buffer is offered again.
  harness_.memory().store_atomic<std::uint16_t>(receive_queue().addresses().used + 2, 0).value();
  vmm::StateReader reader(writer.data());
  ASSERT_TRUE(harness_.device().restore(reader, 1));
  network_->arrive(frame_of(70));
  const auto used = receive_queue().used_index();
  EXPECT_EQ(used, 1);
  EXPECT_EQ(harness_.text(kBuffers + kHeader, 70), frame_of(70));
  transmit({}, frame_of(80));
  EXPECT_EQ(network_->sent, std::vector<std::string>{frame_of(80)});
  EXPECT_EQ(harness_.read(Harness::kConfiguration), 0x03020102U);
}

TEST_F(NetworkDeviceTest, FramesThatWaitAreSentOnceAfterARestore) {
  start();
  const std::string bytes = std::string(kHeader, '\0') + frame_of(80);
  harness_.set_text(kFrames, bytes);
  for (int i = 0; i < 3; ++i) {
    transmit_queue().offer_chain({{kFrames, static_cast<std::uint32_t>(bytes.size()), false}});
  }
  harness_.write(Harness::kQueueNotify, NetworkDevice::kTransmitQueue);
  vmm::StateWriter writer;
  ASSERT_TRUE(harness_.device().save(writer));
  harness_.write(Harness::kStatus, 0);
  harness_.run();
  ASSERT_TRUE(network_->sent.empty()) << "a reset forgets the notification";

  vmm::StateReader reader(writer.data());
  ASSERT_TRUE(harness_.device().restore(reader, 1));
  harness_.run();
  harness_.notify(NetworkDevice::kTransmitQueue);
  EXPECT_EQ(network_->sent, std::vector<std::string>(3, frame_of(80)));
  EXPECT_EQ(transmit_queue().used_index(), 3);
}

TEST_F(NetworkDeviceTest, RefusesAnotherLargestPayload) {
  start();
  vmm::StateWriter writer;
  ASSERT_TRUE(harness_.device().save(writer));
  std::vector<std::byte> state = writer.data();
  state[state.size() - 2] ^= std::byte{1};
  vmm::StateReader reader(state);
  const auto restored = harness_.device().restore(reader, 1);
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().message(),
            "frames had up to 1501 bytes when it was saved, and have 1500 now");
}

}  // namespace
}  // namespace ensemble::device
