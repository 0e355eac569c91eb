#include "device-model/virtio/virtio_mmio.h"

#include <gtest/gtest.h>

#include <map>

#include "device-model/virtio/entropy_device.h"
#include "virtio_harness.h"
#include "vmm/doorbell.h"

namespace ensemble::device {
namespace {

using Harness = VirtioHarness;

class VirtioMmioTest : public testing::Test {
 protected:
  void offer_buffer(std::uint32_t length = 8) {
    harness_.queue(0).offer_chain({{Harness::kData, length, true}});
  }

  Harness harness_{std::make_unique<EntropyDevice>()};
};

TEST_F(VirtioMmioTest, IdentifiesItself) {
  EXPECT_EQ(harness_.read(0x00), 0x74726976U);
  EXPECT_EQ(harness_.read(0x04), 2U);
  EXPECT_EQ(harness_.read(0x08), 4U);
  EXPECT_NE(harness_.read(0x0C), 0U);
  EXPECT_EQ(harness_.device_features(),
            Harness::kVersion1 | Harness::kEventIndex | Harness::kIndirect);
  harness_.write(Harness::kDeviceFeaturesSelect, 2);
  EXPECT_EQ(harness_.read(Harness::kDeviceFeatures), 0U);
  EXPECT_EQ(harness_.read(0xB0), ~0U);
  EXPECT_EQ(harness_.read(0xBC), ~0U);
  EXPECT_EQ(harness_.read(0xC0), 0U);
  EXPECT_EQ(harness_.read(Harness::kConfiguration), 0U);
  EXPECT_EQ(harness_.device().name(), "virtio-entropy0");
}

TEST_F(VirtioMmioTest, OddAccessesDoNothing) {
  std::uint16_t half = 0xFFFF;
  harness_.registers().read(kVirtioAddress, std::as_writable_bytes(std::span(&half, 1)));
  EXPECT_EQ(half, 0);
  std::uint32_t word = 7;
  harness_.registers().read(kVirtioAddress + 2, std::as_writable_bytes(std::span(&word, 1)));
  EXPECT_EQ(word, 0U);
  half = 3;
  harness_.registers().write(kVirtioAddress + Harness::kStatus, std::as_bytes(std::span(&half, 1)));
  EXPECT_EQ(harness_.read(Harness::kStatus), 0U);
  harness_.write(0x04, 9);
  harness_.write(Harness::kConfiguration, 9);
  EXPECT_EQ(harness_.read(0x04), 2U);
}

TEST_F(VirtioMmioTest, ReportsItsQueues) {
  EXPECT_EQ(harness_.read(Harness::kQueueMaximum), 64U);
  EXPECT_EQ(harness_.read(Harness::kQueueReady), 0U);
  harness_.write(Harness::kQueueSelect, 1);
  EXPECT_EQ(harness_.read(Harness::kQueueMaximum), 0U);
  EXPECT_EQ(harness_.read(Harness::kQueueReady), 0U);
  harness_.write(Harness::kQueueReady, 1);
  harness_.write(Harness::kQueueSelect, ~0U);
  EXPECT_EQ(harness_.read(Harness::kQueueMaximum), 0U);
  EXPECT_FALSE(harness_.needs_reset());
}

TEST_F(VirtioMmioTest, WorksOnceStarted) {
  harness_.start();
  EXPECT_EQ(harness_.read(Harness::kStatus), 15U);
  EXPECT_EQ(harness_.read(Harness::kQueueReady), 1U);
  offer_buffer();
  harness_.notify(0);
  EXPECT_EQ(harness_.wait_for_used(0).length, 8U);
  EXPECT_EQ(harness_.interrupts(), 1U);
  EXPECT_EQ(harness_.read(Harness::kInterruptStatus), 1U);
  harness_.write(Harness::kInterruptAcknowledge, 1);
  EXPECT_EQ(harness_.read(Harness::kInterruptStatus), 0U);
}

TEST_F(VirtioMmioTest, AnEdgeIsSentPerNotificationWithoutAcknowledgement) {
  harness_.start();
  for (std::uint64_t i = 1; i <= 3; ++i) {
    offer_buffer();
    harness_.notify(0);
    EXPECT_EQ(harness_.interrupts(), i);
  }
}

TEST_F(VirtioMmioTest, HonoursEventIndexes) {
  harness_.start(Harness::kVersion1 | Harness::kEventIndex);
  harness_.queue(0).set_used_event(2);
  for (int i = 0; i < 2; ++i) {
    offer_buffer();
    harness_.notify(0);
  }
  EXPECT_EQ(harness_.interrupts(), 0U);
  EXPECT_EQ(harness_.queue(0).available_event(), 2);
  offer_buffer();
  harness_.notify(0);
  EXPECT_EQ(harness_.interrupts(), 1U);
}

TEST_F(VirtioMmioTest, RefusesFeaturesThatItDoesNotOffer) {
  harness_.negotiate(Harness::kVersion1 | 1);
  EXPECT_EQ(harness_.read(Harness::kStatus), 3U);
  harness_.negotiate(Harness::kEventIndex);
  EXPECT_EQ(harness_.read(Harness::kStatus), 3U);
  harness_.negotiate(Harness::kVersion1);
  EXPECT_EQ(harness_.read(Harness::kStatus), 11U);
  // Fixed now.
  harness_.write(Harness::kDriverFeatures, 0);
  harness_.write(Harness::kStatus, 11);
  EXPECT_EQ(harness_.read(Harness::kStatus), 11U);
}

TEST_F(VirtioMmioTest, StatusBitsAreOnlyAdded) {
  harness_.write(Harness::kStatus, 1);
  harness_.write(Harness::kStatus, 2);
  EXPECT_EQ(harness_.read(Harness::kStatus), 3U);
  harness_.write(Harness::kStatus, 0x40 | 0x100);
  EXPECT_EQ(harness_.read(Harness::kStatus), 3U);
  harness_.write(Harness::kStatus, 128);
  EXPECT_EQ(harness_.read(Harness::kStatus), 131U);
}

TEST_F(VirtioMmioTest, DoesNothingBeforeDriverOk) {
  harness_.negotiate(Harness::kVersion1);
  harness_.set_up_queue(0, Harness::kQueueSize, harness_.queue(0).addresses());
  offer_buffer();
  harness_.notify(0);
  harness_.notify(7);
  EXPECT_FALSE(harness_.queue(0).take_used());
}

TEST_F(VirtioMmioTest, BrokenSetUpNeedsAReset) {
  harness_.set_up_queue(0, Harness::kQueueSize, harness_.queue(0).addresses());
  EXPECT_TRUE(harness_.needs_reset());
  EXPECT_EQ(harness_.broken(), "queue 0 enabled before FEATURES_OK");
  EXPECT_EQ(harness_.interrupts(), 0U);
  // Stays so until the reset.
  harness_.write(Harness::kStatus, 15);
  EXPECT_TRUE(harness_.needs_reset());
  harness_.write(Harness::kStatus, 0);
  EXPECT_EQ(harness_.read(Harness::kStatus), 0U);

  harness_.write(Harness::kStatus, 7);
  EXPECT_EQ(harness_.broken(), "DRIVER_OK before FEATURES_OK");

  harness_.negotiate(Harness::kVersion1);
  harness_.set_up_queue(0, 17, harness_.queue(0).addresses());
  EXPECT_EQ(harness_.broken(),
            "queue 0: a queue of 17 descriptors; expected a power of two up to 64");
  harness_.negotiate(Harness::kVersion1);
  harness_.set_up_queue(0, 0x10010, harness_.queue(0).addresses());
  EXPECT_EQ(harness_.broken(),
            "queue 0: a queue of 0 descriptors; expected a power of two up to 64");
  EXPECT_EQ(harness_.read(Harness::kQueueReady), 0U);
  harness_.negotiate(Harness::kVersion1);
  harness_.set_up_queue(0, 16, {0xFFFF'FFFF'FFFF'FFF0, 0, 0});
  EXPECT_NE(harness_.broken().find("queue 0: the descriptor table"), std::string::npos);
}

TEST_F(VirtioMmioTest, AnEnabledQueueKeepsItsSetUp) {
  harness_.start();
  harness_.set_up_queue(0, 3, {1, 1, 1});
  offer_buffer();
  harness_.notify(0);
  EXPECT_EQ(harness_.wait_for_used(0).length, 8U);
  EXPECT_FALSE(harness_.needs_reset());
}

TEST_F(VirtioMmioTest, AHostileRingNeedsAReset) {
  harness_.start();
  harness_.queue(0).set_available_index(1000);
  harness_.notify(0);
  EXPECT_TRUE(harness_.needs_reset());
  EXPECT_EQ(harness_.broken(), "queue 0: the available index 1000 is 1000 ahead in a queue of 16");
  EXPECT_EQ(harness_.read(Harness::kInterruptStatus), 2U);
  EXPECT_EQ(harness_.interrupts(), 1U);
  // Silent now, and as new after a reset.
  harness_.notify(0);
  EXPECT_EQ(harness_.interrupts(), 1U);
  harness_.start();
  EXPECT_EQ(harness_.broken(), "");
  offer_buffer();
  harness_.notify(0);
  EXPECT_EQ(harness_.wait_for_used(0).length, 8U);
}

TEST_F(VirtioMmioTest, BreakingForEverLeavesItsMark) {
  for (int i = 0; i < 100; ++i) {
    harness_.start();
    harness_.queue(0).offer(99);
    harness_.notify(0);
    ASSERT_TRUE(harness_.needs_reset());
  }
}

TEST_F(VirtioMmioTest, ARestoredDeviceGoesOn) {
  harness_.start(Harness::kVersion1 | Harness::kEventIndex);
  offer_buffer();
  harness_.notify(0);
  offer_buffer(16);  // Not yet notified.
  const auto state = vmm::save_state(harness_.bus().stateful_components()).value();

  // The same memory, another device.
  VirtioMmio copy("virtio-entropy0", std::make_unique<EntropyDevice>(), harness_.memory(),
                  harness_.loop(), std::make_unique<vmm::CountingInterruptLine>());
  vmm::Stateful* components[] = {&copy};
  const auto restored = vmm::restore_state(state, components);
  ASSERT_TRUE(restored) << restored.error().message();
  EXPECT_EQ(vmm::save_state(components).value(), state);
  harness_.run();
  EXPECT_EQ(harness_.wait_for_used(0).length, 8U);
  EXPECT_EQ(harness_.wait_for_used(0).length, 16U);
}

TEST_F(VirtioMmioTest, ABrokenDeviceIsRestoredBroken) {
  harness_.start();
  harness_.queue(0).offer(99);
  harness_.notify(0);
  const std::string reason = harness_.broken();
  const auto state = vmm::save_state(harness_.bus().stateful_components()).value();
  harness_.start();
  ASSERT_TRUE(vmm::restore_state(state, harness_.bus().stateful_components()));
  EXPECT_TRUE(harness_.needs_reset());
  EXPECT_EQ(harness_.broken(), reason);
}

TEST_F(VirtioMmioTest, UnsoundStateIsRefused) {
  harness_.start();
  vmm::StateWriter writer;
  harness_.device().save(writer).value();
  const auto restore = [this](std::vector<std::byte> data) {
    vmm::StateReader reader(data);
    const auto restored = harness_.device().restore(reader, 1);
    return restored ? "accepted" : restored.error().message();
  };
  EXPECT_EQ(restore(writer.data()), "accepted");
  auto status = writer.data();
  status[0] = std::byte{7};
  EXPECT_EQ(restore(status), "the saved status 0x7 has DRIVER_OK without FEATURES_OK");
  auto features = writer.data();
  features[16] = std::byte{0xFF};
  EXPECT_NE(restore(features).find("the driver uses features"), std::string::npos);
  for (std::size_t size = 0; size < writer.data().size(); ++size) {
    const auto cut = std::span(writer.data()).first(size);
    EXPECT_NE(restore({cut.begin(), cut.end()}), "accepted") << size;
  }
  auto longer = writer.data();
  longer.push_back(std::byte{0});
  EXPECT_NE(restore(longer), "accepted");
}

TEST_F(VirtioMmioTest, WorkIsSharedFairly) {
  // More chains than one turn takes: all are done, over several turns of the event loop.
  harness_.start();
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < Harness::kQueueSize; ++i) {
      offer_buffer();
    }
    harness_.notify(0);
    for (int i = 0; i < Harness::kQueueSize; ++i) {
      ASSERT_TRUE(harness_.queue(0).take_used());
    }
  }
}

// Doorbells that a test rings by hand.
class HandRungDoorbells final : public vmm::DoorbellRegistry {
 public:
  Result<std::unique_ptr<vmm::Doorbell>> add(const vmm::DoorbellAddress& address,
                                             std::function<void()> handler) override {
    if (!handlers.emplace(*address.value, std::move(handler)).second) {
      return fail("a doorbell twice at {:#x}", address.guest_address);
    }
    addresses.push_back(address.guest_address);
    return std::make_unique<vmm::Doorbell>();
  }

  std::map<std::uint64_t, std::function<void()>> handlers;
  std::vector<std::uint64_t> addresses;
};

TEST_F(VirtioMmioTest, DoorbellsStartTheWork) {
  HandRungDoorbells doorbells;
  ASSERT_TRUE(harness_.device().add_doorbells(doorbells, kVirtioAddress));
  EXPECT_EQ(doorbells.addresses, (std::vector<std::uint64_t>{kVirtioAddress + 0x50}));
  harness_.start();
  offer_buffer();
  doorbells.handlers.at(0)();
  EXPECT_TRUE(harness_.queue(0).take_used());
  EXPECT_EQ(harness_.device().add_doorbells(doorbells, kVirtioAddress).error().message(),
            "virtio-entropy0: a doorbell twice at 0xd0001050");
}

TEST_F(VirtioMmioTest, ItsBusTellsWhenItsDriverWasFirstReady) {
  EXPECT_FALSE(harness_.bus().driver_times().at(0));
  harness_.start();
  const auto first = harness_.bus().driver_times().at(0);
  EXPECT_TRUE(first);
  harness_.write(0x70, 0);
  harness_.start();
  EXPECT_EQ(harness_.bus().driver_times().at(0), first);
}

TEST_F(VirtioMmioTest, ItsBusTellsOfItsQueues) {
  harness_.start();
  const auto figures = [this] { return harness_.bus().queue_figures().at(0); };
  EXPECT_EQ(figures().address, kVirtioAddress);
  EXPECT_EQ(figures().completed, 0U);
  offer_buffer();
  EXPECT_EQ(figures().waiting, 1);
  harness_.notify(0);
  EXPECT_EQ(figures().waiting, 0);
  EXPECT_EQ(figures().in_flight, 0);
  EXPECT_EQ(figures().completed, 1U);
}

TEST(VirtioBus, PlacesDevicesInOrder) {
  Harness harness;
  for (std::size_t i = 0; i < kMaximumVirtioDevices; ++i) {
    harness.attach(std::make_unique<EntropyDevice>());
  }
  const auto& nodes = harness.bus().nodes();
  EXPECT_EQ(nodes[0].address, 0xD0001000U);
  EXPECT_EQ(nodes[0].gsi, 16U);
  EXPECT_EQ(nodes[0].device_id, 4U);
  EXPECT_EQ(nodes[14].address, 0xD000F000U);
  EXPECT_EQ(nodes[14].gsi, 15U);
  EXPECT_EQ(harness.device().name(), "virtio-entropy14");
  EXPECT_EQ(harness.bus().attach(std::make_unique<EntropyDevice>()).error().message(),
            "cannot add another entropy device: a machine has at most 15 virtio devices");
  EXPECT_FALSE(harness.bus().attach_at(std::make_unique<EntropyDevice>(), 0xD0001100, 9));
}

TEST(VirtioBus, PassesTheMachinesRefusalOn) {
  const auto loop = vmm::EventLoop::create().value();
  const auto memory = vmm::GuestMemory::create(16 << 20).value();
  vmm::Bus registers("mmio", loop->device_lock());
  VirtioBus bus(
      {.memory = memory,
       .registers = registers,
       .doorbells = nullptr,
       .loop = *loop,
       .make_interrupt = [](std::uint32_t gsi) -> Result<std::unique_ptr<vmm::InterruptLine>> {
         return fail("no line {}", gsi);
       }});
  EXPECT_EQ(bus.attach(std::make_unique<EntropyDevice>()).error().message(),
            "virtio-entropy0: no line 16");
}

}  // namespace
}  // namespace ensemble::device
