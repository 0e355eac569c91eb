#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "device-model/virtio/block_device.h"
#include "temporary_folder.h"
#include "virtio_harness.h"
#include "vmm/state.h"

namespace ensemble::device {
namespace {

using Harness = VirtioHarness;

constexpr std::uint32_t kSectors = 64;
constexpr std::uint64_t kHeader = Harness::kData;
constexpr std::uint64_t kStatus = Harness::kData + 0x100;
constexpr std::uint64_t kPayload = Harness::kData + 0x1000;
constexpr std::uint32_t kIn = 0;

// Sector n is full of the letter 'A' + n % 26.
std::string disk_image() {
  std::string image;
  for (std::uint32_t sector = 0; sector < kSectors; ++sector) {
    image += std::string(512, static_cast<char>('A' + sector % 26));
  }
  return image;
}

// A disk with several queues, each of which has a thread.
class BlockQueuesTest : public testing::Test {
 protected:
  void make_block(const BlockDevice::Options& options) {
    auto block = BlockDevice::create(path_, options, harness_.loop());
    ASSERT_TRUE(block) << block.error().message();
    harness_.attach(*std::move(block));
    harness_.start();
  }
  vmm::GuestMemory& memory() { return harness_.memory(); }

  TemporaryFolder folder_;
  std::string path_ = folder_.write("disk.img", disk_image());
  Harness harness_;
};

TEST_F(BlockQueuesTest, RequestsOfSeveralQueuesAreReturnedOnceAfterARestore) {
  constexpr std::uint16_t kQueues = 3;
  constexpr std::uint16_t kRequests = 4;
  const BlockDevice::Options options{.read_only = true, .queues = kQueues, .serial = ""};
  make_block(options);
  const auto request_at = [](std::uint16_t queue, std::uint16_t number) {
    return Harness::kData + 0x2000 * (std::uint64_t{queue} * kRequests + number);
  };
  for (std::uint16_t queue = 0; queue < kQueues; ++queue) {
    for (std::uint16_t number = 0; number < kRequests; ++number) {
      const std::uint64_t base = request_at(queue, number);
      memory().store(base, kIn).value();
      memory().store(base + 8, std::uint64_t{queue} * kRequests + number).value();
      harness_.queue(queue).offer_chain(
          {{base, 16, false}, {base + 0x1000, 512, true}, {base + 0x100, 1, true}});
    }
    harness_.write(Harness::kQueueNotify, queue);
  }
  // All requests are taken; some may have come back already, and others not.
  harness_.loop().run_once(std::chrono::milliseconds(0)).value();
  std::array<std::uint16_t, kQueues> returned{};
  for (std::uint16_t queue = 0; queue < kQueues; ++queue) {
    returned[queue] = harness_.queue(queue).used_index();
  }
  const auto state = vmm::save_state(harness_.bus().stateful_components()).value();
  harness_.write(Harness::kStatus, 0);
  harness_.run();
  for (std::uint16_t queue = 0; queue < kQueues; ++queue) {
    ASSERT_EQ(harness_.queue(queue).used_index(), returned[queue]) << "the reset drops the rest";
    for (std::uint16_t number = returned[queue]; number < kRequests; ++number) {
      harness_.set_text(request_at(queue, number) + 0x1000, std::string(512, '?'));
    }
  }

  VirtioMmio copy("virtio-block0", BlockDevice::create(path_, options, harness_.loop()).value(),
                  memory(), harness_.loop(), std::make_unique<vmm::CountingInterruptLine>());
  vmm::Stateful* components[] = {&copy};
  const auto restored = vmm::restore_state(state, components);
  ASSERT_TRUE(restored) << restored.error().message();
  for (std::uint16_t queue = 0; queue < kQueues; ++queue) {
    std::vector<std::uint32_t> heads;
    for (std::uint16_t number = 0; number < kRequests; ++number) {
      heads.push_back(harness_.wait_for_used(queue).head);
      EXPECT_EQ(harness_.text(request_at(queue, number) + 0x1000, 512),
                std::string(512, static_cast<char>('A' + queue * kRequests + number)));
    }
    EXPECT_EQ(heads, (std::vector<std::uint32_t>{0, 3, 6, 9})) << "each once";
  }
  harness_.loop().run_once(std::chrono::milliseconds(20)).value();
  for (std::uint16_t queue = 0; queue < kQueues; ++queue) {
    EXPECT_EQ(harness_.queue(queue).used_index(), kRequests);
  }
}

TEST_F(BlockQueuesTest, AResetDropsWhatIsUnderWayInAllQueues) {
  make_block({.queues = 4, .serial = ""});
  for (int round = 0; round < 20; ++round) {
    memory().store(kHeader, kIn).value();
    memory().store(kHeader + 8, std::uint64_t{0}).value();
    for (std::uint16_t queue = 0; queue < 4; ++queue) {
      for (int i = 0; i < 5; ++i) {
        harness_.queue(queue).offer_chain({{kHeader, 16, false},
                                           {kPayload + 0x10000 * queue, kSectors * 512, true},
                                           {kStatus + queue, 1, true}});
      }
      harness_.write(Harness::kQueueNotify, queue);
    }
    harness_.loop().run_once(std::chrono::milliseconds(0)).value();
    harness_.start();
    harness_.run();
    for (std::uint16_t queue = 0; queue < 4; ++queue) {
      ASSERT_EQ(harness_.queue(queue).used_index(), 0);
    }
  }
  memory().store(kHeader + 8, std::uint64_t{2}).value();
  harness_.queue(3).offer_chain({{kHeader, 16, false}, {kPayload, 512, true}, {kStatus, 1, true}});
  harness_.notify(3);
  EXPECT_EQ(harness_.wait_for_used(3).length, 513U);
  EXPECT_EQ(harness_.text(kPayload, 1), "C");
}

}  // namespace
}  // namespace ensemble::device
